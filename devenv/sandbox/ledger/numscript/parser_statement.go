package numscript

func (p *parser) statement() (statement, error) {
	t := p.peek()
	switch t.kind {
	case "send":
		return p.send()
	case "set_tx_meta", "set_account_meta":
		return p.meta()
	default:
		return nil, failAt(t, "mismatched input %s expecting {'set_tx_meta', 'set_account_meta', 'print', 'fail', 'send', 'save'}", quote(t))
	}
}

func (p *parser) send() (statement, error) {
	s := sendStatement{at: p.take()}
	all, ok, err := p.all()
	if err != nil {
		return nil, err
	}
	if ok {
		s.all = all
	} else {
		amount, err := p.expression()
		if err != nil {
			return nil, err
		}
		s.amount = &amount
	}
	if err := p.sequence("(", kindNewline); err != nil {
		return nil, err
	}
	if p.at("destination") {
		if s.destination, err = p.destinationClause(); err != nil {
			return nil, err
		}
		if _, err = p.expect(kindNewline); err != nil {
			return nil, err
		}
		s.source, err = p.sourceClause()
	} else {
		if s.source, err = p.sourceClause(); err != nil {
			return nil, err
		}
		if _, err = p.expect(kindNewline); err != nil {
			return nil, err
		}
		s.destination, err = p.destinationClause()
	}
	if err != nil {
		return nil, err
	}
	return s, p.sequence(kindNewline, ")")
}

func (p *parser) sourceClause() (source, error) {
	if err := p.sequence("source", "="); err != nil {
		return nil, err
	}
	if p.at("{") && p.next+2 < len(p.tokens) && p.startsPortion(p.next+2) {
		return p.sharedSource()
	}
	return p.source()
}

// startsPortion says whether the token at i begins a share of an allotment.
func (p *parser) startsPortion(i int) bool {
	switch p.tokens[i].kind {
	case kindPortion, "remaining":
		return true
	case kindVariable:
		return i+1 < len(p.tokens) && (p.tokens[i+1].kind == "from" || p.tokens[i+1].kind == "to" || p.tokens[i+1].kind == "kept")
	default:
		return false
	}
}

func (p *parser) sharedSource() (source, error) {
	s := sharedSource{at: p.peek()}
	if err := p.sequence("{", kindNewline); err != nil {
		return nil, err
	}
	for !p.at("}") {
		share, err := p.portion()
		if err != nil {
			return nil, err
		}
		if _, err := p.expect("from"); err != nil {
			return nil, err
		}
		sub, err := p.source()
		if err != nil {
			return nil, err
		}
		s.portions = append(s.portions, share)
		s.sources = append(s.sources, sub)
		if _, err := p.expect(kindNewline); err != nil {
			return nil, err
		}
	}
	return s, p.sequence("}")
}

func (p *parser) portion() (portion, error) {
	t := p.take()
	share := portion{at: t}
	switch t.kind {
	case kindPortion:
		constant, err := parsePortion(t.text)
		if err != nil {
			return share, failAt(t, "%s", err)
		}
		share.constant = constant
	case kindVariable:
		share.variable = t.text[1:]
	case "remaining":
		share.remaining = true
	default:
		return share, failAt(t, "mismatched input %s expecting {PORTION, 'remaining', VARIABLE_NAME}", quote(t))
	}
	return share, nil
}

func (p *parser) source() (source, error) {
	if err := p.descend(); err != nil {
		return nil, err
	}
	defer p.ascend()
	t := p.peek()
	switch t.kind {
	case "max":
		p.take()
		limit, err := p.expression()
		if err != nil {
			return nil, err
		}
		if _, err := p.expect("from"); err != nil {
			return nil, err
		}
		sub, err := p.source()
		return maxSource{at: t, max: limit, source: sub}, err
	case "{":
		return p.orderedSource()
	default:
		return p.accountSource()
	}
}

func (p *parser) orderedSource() (source, error) {
	s := orderedSource{at: p.peek()}
	if err := p.sequence("{", kindNewline); err != nil {
		return nil, err
	}
	for {
		sub, err := p.source()
		if err != nil {
			return nil, err
		}
		s.sources = append(s.sources, sub)
		if _, err := p.expect(kindNewline); err != nil {
			return nil, err
		}
		if p.at("}") {
			p.take()
			return s, nil
		}
	}
}

func (p *parser) accountSource() (source, error) {
	account, err := p.expression()
	if err != nil {
		return nil, err
	}
	s := accountSource{at: account.at, account: account}
	switch p.peek().kind {
	case kwUnboundedOverdraft:
		p.take()
		s.unbounded = true
	case kwOverdraftUpTo:
		p.take()
		limit, err := p.expression()
		if err != nil {
			return nil, err
		}
		s.overdraft = &limit
	default: // no overdraft
	}
	return s, nil
}

func (p *parser) destinationClause() (destination, error) {
	if err := p.sequence("destination", "="); err != nil {
		return nil, err
	}
	return p.destination()
}

func (p *parser) destination() (destination, error) {
	if err := p.descend(); err != nil {
		return nil, err
	}
	defer p.ascend()
	if !p.at("{") {
		account, err := p.expression()
		return accountDestination{account: account}, err
	}
	open := p.take()
	if _, err := p.expect(kindNewline); err != nil {
		return nil, err
	}
	if p.at("max") {
		return p.orderedDestination()
	}
	return p.sharedDestination(open)
}

func (p *parser) orderedDestination() (destination, error) {
	var d orderedDestination
	for p.at("max") {
		p.take()
		limit, err := p.expression()
		if err != nil {
			return nil, err
		}
		sub, err := p.keptOrDestination()
		if err != nil {
			return nil, err
		}
		d.maxima = append(d.maxima, limit)
		d.destinations = append(d.destinations, sub)
		if _, err := p.expect(kindNewline); err != nil {
			return nil, err
		}
	}
	if _, err := p.expect("remaining"); err != nil {
		return nil, err
	}
	var err error
	if d.remaining, err = p.keptOrDestination(); err != nil {
		return nil, err
	}
	return d, p.sequence(kindNewline, "}")
}

func (p *parser) sharedDestination(open token) (destination, error) {
	d := sharedDestination{at: open}
	for {
		share, err := p.portion()
		if err != nil {
			return nil, err
		}
		sub, err := p.keptOrDestination()
		if err != nil {
			return nil, err
		}
		d.portions = append(d.portions, share)
		d.destinations = append(d.destinations, sub)
		if _, err := p.expect(kindNewline); err != nil {
			return nil, err
		}
		if p.at("}") {
			p.take()
			return d, nil
		}
	}
}

func (p *parser) keptOrDestination() (destination, error) {
	switch t := p.take(); t.kind {
	case "kept":
		return keptDestination{}, nil
	case "to":
		return p.destination()
	default:
		return nil, failAt(t, "mismatched input %s expecting {'to', 'kept'}", quote(t))
	}
}

func (p *parser) meta() (statement, error) {
	s := metaStatement{at: p.take()}
	if _, err := p.expect("("); err != nil {
		return nil, err
	}
	if s.at.kind == "set_account_meta" {
		account, err := p.expression()
		if err != nil {
			return nil, err
		}
		s.account = &account
		if _, err := p.expect(","); err != nil {
			return nil, err
		}
	}
	key, err := p.expect(kindString)
	if err != nil {
		return nil, err
	}
	s.key = key.text[1 : len(key.text)-1]
	if _, err := p.expect(","); err != nil {
		return nil, err
	}
	if s.value, err = p.expression(); err != nil {
		return nil, err
	}
	return s, p.sequence(")")
}
