package submit

import (
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/ethereum/go-ethereum/common"
)

// ParseAddress returns the address of an account or a contract: 0x and 40 digits. If they
// are of both cases they must be EIP-55's.
func ParseAddress(v string) (common.Address, error) {
	if !strings.HasPrefix(v, "0x") || !common.IsHexAddress(v) {
		return common.Address{}, errors.New("must be 0x and 40 hexadecimal digits")
	}
	a := common.HexToAddress(v)
	digits := v[2:]
	if digits != strings.ToLower(digits) && digits != strings.ToUpper(digits) && a.Hex() != v {
		return common.Address{}, fmt.Errorf("is mistyped: by its checksum it would be %v", a)
	}
	return a, nil
}

// ParseWei returns an amount of wei, more than 0: a whole number, or one followed by gwei
// or ether, which may have a fraction.
func ParseWei(v string) (*big.Int, error) {
	digits := 0
	for unit, n := range map[string]int{"gwei": 9, "ether": 18} {
		if number, ok := strings.CutSuffix(v, unit); ok {
			v, digits = strings.TrimSpace(number), n
		}
	}
	whole, fraction, _ := strings.Cut(v, ".")
	const most = 40 // digits
	if whole == "" || len(fraction) > digits || len(whole) > most || strings.Trim(whole+fraction, "0123456789") != "" {
		return nil, errors.New("must be a number of wei, such as 5000000, 0.005gwei or 0.01ether")
	}
	n, _ := new(big.Int).SetString(whole+fraction+strings.Repeat("0", digits-len(fraction)), 10)
	if n.Sign() == 0 {
		return nil, errors.New("must be more than 0")
	}
	return n, nil
}
