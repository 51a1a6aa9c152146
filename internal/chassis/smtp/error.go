package smtp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/textproto"

	"github.com/wneessen/go-mail"
)

// Class says at which step a mail failed.
type Class string

// The classes of errors, in the order of their steps.
const (
	ClassAddress   Class = "address"   // a recipient's address is none: nothing was tried
	ClassConnect   Class = "connect"   // no connection, TLS or greeting
	ClassLogin     Class = "login"     // the server does not let us in
	ClassSender    Class = "sender"    // MAIL FROM
	ClassRecipient Class = "recipient" // RCPT TO
	ClassContent   Class = "content"   // DATA: the outcome may be unknown
)

// Error is a mail that was not sent. It holds the server's codes and none of its words, which repeat addresses of people:
// it may be logged and stored.
type Error struct {
	Class    Class
	Code     int    // the server's reply, such as 550; 0: it sent none
	Enhanced string // its enhanced status code, such as "5.1.1"; may be empty
	cause    error  // context.Canceled, context.DeadlineExceeded, a network error or nil: no words of the server
}

// Error implements error.
func (e *Error) Error() string {
	text := "mail failed at " + string(e.Class)
	if e.Code != 0 {
		text += fmt.Sprintf(": the server answers %d", e.Code)
	}
	if e.Enhanced != "" {
		text += " " + e.Enhanced
	}
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

// Unwrap returns the end of a context or what the network said.
func (e *Error) Unwrap() error { return e.cause }

// classOf is the class of one of go-mail's reasons.
func classOf(reason mail.SendErrReason) Class {
	switch reason {
	case mail.ErrGetSender, mail.ErrSMTPMailFrom:
		return ClassSender
	case mail.ErrGetRcpts, mail.ErrSMTPRcptTo:
		return ClassRecipient
	case mail.ErrConnCheck:
		return ClassConnect
	case mail.ErrSMTPData, mail.ErrSMTPDataClose, mail.ErrSMTPReset, mail.ErrWriteContent, mail.ErrNoUnencoded, mail.ErrAmbiguous:
		return ClassContent
	}
	return ClassContent
}

// failed returns what is known of an error of the library without its words.
func failed(class Class, err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Class: class, cause: plainCause(err)}
	if sent, ok := errors.AsType[*mail.SendError](err); ok {
		e.Class, e.Code, e.Enhanced = classOf(sent.Reason), sent.ErrorCode(), sent.EnhancedStatusCode()
	} else if reply, ok := errors.AsType[*textproto.Error](err); ok {
		e.Code = reply.Code
		if class == ClassConnect && (reply.Code == 530 || reply.Code >= 534 && reply.Code <= 538) {
			e.Class = ClassLogin // RFC 4954, section 6
		}
	}
	return e
}

// plainCause returns what ended a conversation from outside of it.
func plainCause(err error) error {
	for _, end := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, end) {
			return end
		}
	}
	if broken, ok := errors.AsType[*net.OpError](err); ok {
		return broken
	}
	return nil
}
