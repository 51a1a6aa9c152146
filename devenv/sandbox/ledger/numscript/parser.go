package numscript

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// nestingMax bounds how deep sources, destinations and monetary literals may
// nest and how many terms a sum may have, so that a hostile script cannot
// exhaust the stack.
const nestingMax = 64

// Parse reads and checks a script. The error is a *CompileError.
func Parse(text string) (*Program, error) {
	program, err := parse(text)
	if err != nil {
		if compileErr, ok := errors.AsType[*CompileError](err); ok {
			compileErr.source = text
		}
		return nil, err
	}
	return program, nil
}

func parse(text string) (*Program, error) {
	all, err := tokens(text)
	if err != nil {
		return nil, err
	}
	p := parser{tokens: all}
	program, err := p.script()
	if err != nil {
		return nil, err
	}
	if err := check(program); err != nil {
		return nil, err
	}
	return program, nil
}

// parser is a recursive descent over the tokens; the grammar is that of the
// ledger's NumScript.g4.
type parser struct {
	tokens []token
	next   int
	depth  int
}

func (p *parser) peek() token { return p.tokens[p.next] }

func (p *parser) at(k kind) bool { return p.peek().kind == k }

func (p *parser) take() token {
	t := p.peek()
	if t.kind != kindEnd {
		p.next++
	}
	return t
}

// expect consumes a token of that kind or says what is wrong in the words of
// the ledger's parser.
func (p *parser) expect(k kind) (token, error) {
	if p.at(k) {
		return p.take(), nil
	}
	t := p.peek()
	name := display(k)
	switch {
	case p.next+1 < len(p.tokens) && p.tokens[p.next+1].kind == k:
		return t, failAt(t, "extraneous input %s expecting %s", quote(t), name)
	case t.kind == "(" || t.kind == kindNewline && k != kindEnd:
		return t, failAt(t, "missing %s at %s", name, quote(t))
	default:
		return t, failAt(t, "mismatched input %s expecting %s", quote(t), name)
	}
}

func (p *parser) sequence(kinds ...kind) error {
	for _, k := range kinds {
		if _, err := p.expect(k); err != nil {
			return err
		}
	}
	return nil
}

func display(k kind) string {
	if k == kindEnd || strings.ToUpper(string(k)) == string(k) && len(k) > 1 {
		return string(k)
	}
	return "'" + string(k) + "'"
}

func quote(t token) string {
	if t.kind == kindEnd {
		return "'<EOF>'"
	}
	return "'" + strings.NewReplacer("\n", `\n`, "\r", `\r`).Replace(t.text) + "'"
}

func failAt(t token, format string, args ...any) error {
	width := len([]rune(t.text))
	if t.kind == kindNewline || t.kind == kindEnd {
		width = 1
	}
	return &CompileError{Line: t.line, Column: t.column, Width: width, Message: fmt.Sprintf(format, args...)}
}

// descend guards one level of nesting; the caller defers p.ascend().
func (p *parser) descend() error {
	p.depth++
	if p.depth > nestingMax {
		return failAt(p.peek(), "nested deeper than %d levels", nestingMax)
	}
	return nil
}

func (p *parser) ascend() { p.depth-- }

func (p *parser) script() (*Program, error) {
	program := &Program{}
	p.newlines()
	if p.at("vars") {
		declarations, err := p.declarations()
		if err != nil {
			return nil, err
		}
		program.declarations = declarations
	}
	for {
		s, err := p.statement()
		if err != nil {
			return nil, err
		}
		program.statements = append(program.statements, s)
		if p.at(kindEnd) {
			return program, nil
		}
		if _, err := p.expect(kindNewline); err != nil {
			return nil, err
		}
		if p.at(kindEnd) || p.at(kindNewline) {
			p.newlines()
			_, err := p.expect(kindEnd)
			return program, err
		}
	}
}

func (p *parser) newlines() {
	for p.at(kindNewline) {
		p.take()
	}
}

func (p *parser) declarations() ([]declaration, error) {
	if err := p.sequence("vars", "{", kindNewline); err != nil {
		return nil, err
	}
	var all []declaration
	for {
		d, err := p.declaration()
		if err != nil {
			return nil, err
		}
		all = append(all, d)
		if _, err := p.expect(kindNewline); err != nil {
			return nil, err
		}
		p.newlines()
		if p.at("}") {
			return all, p.sequence("}", kindNewline)
		}
	}
}

func (p *parser) declaration() (declaration, error) {
	var d declaration
	switch p.peek().kind {
	case "account", "asset", "number", "string", "monetary", "portion":
		d.kind = Type(p.take().kind)
	default:
		return d, failAt(p.peek(), "mismatched input %s expecting {'account', 'asset', 'number', 'monetary', 'portion', 'string'}", quote(p.peek()))
	}
	name, err := p.expect(kindVariable)
	if err != nil {
		return d, err
	}
	d.name = name.text[1:]
	return d, nil
}

// expression reads operands joined by + and -, which associate to the left.
func (p *parser) expression() (expression, error) {
	left, err := p.operand()
	if err != nil {
		return left, err
	}
	for terms := 1; p.at("+") || p.at("-"); terms++ {
		op := p.take()
		if terms == nestingMax {
			return left, failAt(op, "more than %d terms", nestingMax)
		}
		right, err := p.operand()
		if err != nil {
			return right, err
		}
		left = expression{at: left.at, sum: &sum{left: left, right: right, minus: op.kind == "-"}}
	}
	return left, nil
}

func (p *parser) operand() (expression, error) {
	t := p.take()
	e := expression{at: t}
	switch t.kind {
	case kindVariable:
		e.variable = t.text[1:]
	case kindAccount:
		v := accountValue(t.text[1:])
		e.literal = &v
	case kindAsset:
		e.literal = &value{kind: TypeAsset, text: t.text}
	case kindString:
		e.literal = &value{kind: TypeString, text: strings.Trim(t.text, `"`)}
	case kindNumber:
		n, _ := new(big.Int).SetString(t.text, 10)
		e.literal = &value{kind: TypeNumber, amount: n}
	case kindPortion:
		portion, err := parsePortion(t.text)
		if err != nil {
			return e, failAt(t, "%s", err)
		}
		e.literal = &value{kind: TypePortion, portion: portion}
	case "[":
		if err := p.descend(); err != nil {
			return e, err
		}
		defer p.ascend()
		asset, err := p.expression()
		if err != nil {
			return e, err
		}
		amount, err := p.expect(kindNumber)
		if err != nil {
			return e, err
		}
		n, _ := new(big.Int).SetString(amount.text, 10)
		e.monetary = &monetaryLiteral{asset: asset, amount: n}
		_, err = p.expect("]")
		return e, err
	default:
		return e, failAt(t, "mismatched input %s expecting {'[', STRING, PORTION, NUMBER, VARIABLE_NAME, ACCOUNT, ASSET}", quote(t))
	}
	return e, nil
}

// all reads "[ASSET *]" if that is what comes; ok says so.
func (p *parser) all() (asset *expression, ok bool, err error) {
	if !p.at("[") {
		return nil, false, nil
	}
	begin := p.next
	p.take()
	e, err := p.expression()
	if err != nil || !p.at("*") {
		p.next = begin
		return nil, false, nil //nolint:nilerr // not a monetary-all: the caller parses it again as an expression and reports
	}
	p.take()
	_, err = p.expect("]")
	return &e, true, err
}
