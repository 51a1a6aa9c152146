package numscript

import (
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strings"
)

// Type is one of the six types a variable may have.
type Type string

// The types of Numscript, by the word that declares them.
const (
	TypeAccount  Type = "account"
	TypeAsset    Type = "asset"
	TypeNumber   Type = "number"
	TypeString   Type = "string"
	TypeMonetary Type = "monetary"
	TypePortion  Type = "portion"
)

// AccountPattern and AssetPattern are what the ledger accepts as an address
// and as an asset.
const (
	AccountPattern = `^[a-zA-Z0-9_-]+(:[a-zA-Z0-9_-]+)*$`
	AssetPattern   = `^[A-Z][A-Z0-9]{0,16}(_[A-Z]{1,16})?(\/\d{1,6})?$`
)

var (
	accountRegexp  = regexp.MustCompile(AccountPattern)
	assetRegexp    = regexp.MustCompile(AssetPattern)
	percentRegexp  = regexp.MustCompile(`^([0-9]+)(?:[.]([0-9]+))?[%]$`)
	fractionRegexp = regexp.MustCompile(`^([0-9]+)\s?[/]\s?([0-9]+)$`)
)

// IsAccount says whether address may name an account.
func IsAccount(address string) bool { return accountRegexp.MatchString(address) }

// IsAsset says whether asset may name an asset.
func IsAsset(asset string) bool { return assetRegexp.MatchString(asset) }

// value is what an expression evaluates to. Which field counts follows from
// kind: text for account, asset and string; amount for number and monetary;
// asset for monetary; portion for portion.
type value struct {
	kind    Type
	text    string
	asset   string
	amount  *big.Int
	portion *big.Rat
}

func accountValue(address string) value { return value{kind: TypeAccount, text: address} }

// String renders the value as it is stored in metadata.
func (v value) String() string {
	switch v.kind {
	case TypeAccount, TypeAsset, TypeString:
		return v.text
	case TypeNumber:
		return v.amount.String()
	case TypeMonetary:
		return v.asset + " " + v.amount.String()
	case TypePortion:
		return v.portion.String()
	}
	panic("value of unknown kind " + string(v.kind))
}

// parseValue reads the text form in which variables and metadata arrive.
func parseValue(kind Type, text string) (value, error) {
	v := value{kind: kind}
	switch kind {
	case TypeAccount:
		if !IsAccount(text) {
			return v, fmt.Errorf("value %s: accounts should respect pattern %s", text, AccountPattern)
		}
		v.text = text
	case TypeAsset:
		if !IsAsset(text) {
			return v, fmt.Errorf("value %s: asset should respect pattern '%s'", text, AssetPattern)
		}
		v.text = text
	case TypeNumber:
		n, ok := new(big.Int).SetString(text, 10)
		if !ok {
			return v, fmt.Errorf("math/big: cannot unmarshal %q into a *big.Int", text)
		}
		v.amount = n
	case TypeString:
		v.text = text
	case TypeMonetary:
		return parseMonetary(text)
	case TypePortion:
		p, err := parsePortion(text)
		if err != nil {
			return v, err
		}
		v.portion = p
	default:
		panic("variable of unknown type " + string(kind))
	}
	return v, nil
}

func parseMonetary(text string) (value, error) {
	v := value{kind: TypeMonetary}
	asset, amount, ok := strings.Cut(text, " ")
	if !ok {
		return v, errors.New("monetary must have two parts")
	}
	n, ok := new(big.Int).SetString(amount, 10)
	if !ok {
		return v, errors.New("invalid monetary int")
	}
	if !IsAsset(asset) {
		return v, fmt.Errorf("value [%s %s]: asset '%s': asset should respect pattern '%s'", asset, n, asset, AssetPattern)
	}
	if n.Sign() < 0 {
		return v, fmt.Errorf("value [%s %s]: negative amount", asset, n)
	}
	v.asset, v.amount = asset, n
	return v, nil
}

// parsePortion reads "12.5%" or "1/8". A portion lies between 0 and 1.
func parsePortion(text string) (*big.Rat, error) {
	var portion *big.Rat
	if m := percentRegexp.FindStringSubmatch(text); m != nil {
		percent, ok := new(big.Rat).SetString(m[1] + "." + m[2] + "0")
		if !ok {
			return nil, errors.New("invalid percent format")
		}
		portion = percent.Mul(percent, big.NewRat(1, 100))
	} else if m := fractionRegexp.FindStringSubmatch(text); m != nil {
		fraction, ok := new(big.Rat).SetString(m[1] + "/" + m[2])
		if !ok {
			return nil, errors.New("invalid fractional format")
		}
		portion = fraction
	} else {
		return nil, errors.New("invalid format")
	}
	if portion.Cmp(big.NewRat(1, 1)) > 0 {
		return nil, errors.New("portion must be between 0% and 100% inclusive")
	}
	return portion, nil
}
