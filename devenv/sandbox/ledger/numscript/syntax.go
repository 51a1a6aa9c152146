package numscript

import "math/big"

// Program is a parsed and checked script. It may be run any number of times,
// by several goroutines.
type Program struct {
	declarations []declaration
	statements   []statement
}

// declaration is one line of the vars block.
type declaration struct {
	kind Type
	name string
}

// expression is a literal, a variable, a monetary literal, or a sum.
type expression struct {
	at       token
	literal  *value
	variable string
	monetary *monetaryLiteral
	sum      *sum
}

type monetaryLiteral struct {
	asset  expression
	amount *big.Int
}

type sum struct {
	left, right expression
	minus       bool
}

// statement is one of the kinds below.
type statement interface{ isStatement() }

type sendStatement struct {
	at          token
	amount      *expression // nil for all
	all         *expression // asset of "send [A *]"
	source      source
	destination destination
}

type metaStatement struct {
	at      token
	account *expression // nil for the transaction's metadata
	key     string
	value   expression
}

func (sendStatement) isStatement() {}
func (metaStatement) isStatement() {}

// source is one of the kinds below.
type source interface{ position() token }

type accountSource struct {
	at        token
	account   expression
	unbounded bool
	overdraft *expression
}

type maxSource struct {
	at     token
	max    expression
	source source
}

type orderedSource struct {
	at      token
	sources []source
}

// sharedSource is an allotment: it stands only at the top of a send.
type sharedSource struct {
	at       token
	portions []portion
	sources  []source
}

func (s accountSource) position() token { return s.at }
func (s maxSource) position() token     { return s.at }
func (s orderedSource) position() token { return s.at }
func (s sharedSource) position() token  { return s.at }

// portion is a share: a constant, a variable, or what remains.
type portion struct {
	at        token
	constant  *big.Rat
	variable  string
	remaining bool
}

// destination is one of the kinds below; keptDestination leaves the money
// where it came from.
type destination interface{ isDestination() }

type accountDestination struct{ account expression }

type orderedDestination struct {
	maxima       []expression
	destinations []destination
	remaining    destination
}

type sharedDestination struct {
	at           token
	portions     []portion
	destinations []destination
}

type keptDestination struct{}

func (accountDestination) isDestination() {}
func (orderedDestination) isDestination() {}
func (sharedDestination) isDestination()  {}
func (keptDestination) isDestination()    {}
