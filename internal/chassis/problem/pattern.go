package problem

import (
	"fmt"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
)

// idPattern is that of our ids, and idInWords what they look like. It takes more than we make, for ids from elsewhere.
const (
	idPattern = "[A-Za-z0-9_]{16,64}"
	idInWords = "an id: 21 letters and digits (from elsewhere 16 to 64, and _)"
)

// patternInWords says what a text must look like whose schema has a pattern: a regular expression helps nobody who has
// mistyped an id.
func patternInWords(pattern string) string {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return "must match " + pattern
	}
	switch pattern {
	case "^" + idPattern + "$":
		return "must be " + idInWords
	case "^(" + idPattern + ")?$":
		return "must be empty or " + idInWords
	}
	return "must be " + inWords(re)
}

// inWords describes the expressions that schemas use; any other is shown as it is.
func inWords(re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpLiteral:
		return strconv.Quote(string(re.Rune))
	case syntax.OpCapture:
		return inWords(re.Sub[0])
	case syntax.OpCharClass:
		return "one of " + members(re.Rune)
	case syntax.OpPlus:
		return counted(re.Sub[0], "1 or more")
	case syntax.OpStar:
		return counted(re.Sub[0], "any number of")
	case syntax.OpQuest:
		return "empty or " + inWords(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min == re.Max {
			return counted(re.Sub[0], strconv.Itoa(re.Min))
		}
		return counted(re.Sub[0], fmt.Sprintf("%d to %d", re.Min, re.Max))
	case syntax.OpConcat:
		return concatInWords(re)
	case syntax.OpAlternate:
		var choices []string
		for _, sub := range re.Sub {
			choices = append(choices, inWords(sub))
		}
		return strings.Join(choices, " or ")
	default:
		return re.String()
	}
}

func concatInWords(re *syntax.Regexp) string {
	var parts []string
	for _, sub := range re.Sub {
		if sub.Op == syntax.OpBeginText || sub.Op == syntax.OpEndText || sub.Op == syntax.OpBeginLine || sub.Op == syntax.OpEndLine {
			continue
		}
		parts = append(parts, inWords(sub))
	}
	return strings.Join(parts, ", then ")
}

// counted describes a number of something.
func counted(re *syntax.Regexp, count string) string {
	if re.Op != syntax.OpCharClass {
		return count + " times (" + inWords(re) + ")"
	}
	return count + " " + members(re.Rune)
}

// members names the characters of a class, given as pairs of first and last.
func members(class []rune) string {
	var names []string
	has := func(first, last rune) bool {
		for i := 0; i < len(class); i += 2 {
			if class[i] == first && class[i+1] == last {
				return true
			}
		}
		return false
	}
	switch {
	case has('a', 'z') && has('A', 'Z'):
		names = append(names, "letters")
	case has('a', 'z'):
		names = append(names, "small letters")
	case has('A', 'Z'):
		names = append(names, "capital letters")
	}
	if has('0', '9') {
		names = append(names, "digits")
	}
	for i := 0; i < len(class); i += 2 {
		if class[i+1]-class[i] > 1 {
			continue
		}
		for r := class[i]; r <= class[i+1]; r++ {
			names = append(names, string(r))
		}
	}
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(slices.Clone(names[:last]), ", ") + " or " + names[last]
}
