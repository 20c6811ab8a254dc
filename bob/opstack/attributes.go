package opstack

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// These are the addresses of the deposit that begins a block.
var (
	L1AttributesDepositor = common.HexToAddress("0xdeaddeaddeaddeaddeaddeaddeaddeaddead0001")
	L1BlockAddress        = common.HexToAddress("0x4200000000000000000000000000000000000015")
)

// ErrUnknownForm says that L1 attributes have a form that a later fork brought. The
// block that they begin is a block all the same.
var ErrUnknownForm = errors.New("the L1 attributes have a form that is not known")

// A Form is how a block's L1 attributes are encoded. The first block of a fork that
// brings a form still has the form before.
type Form uint8

// These are the forms; each is named for the fork that brought it. The numbers of their
// fields grow with them.
const (
	FormBedrock Form = iota + 1
	FormEcotone
	FormIsthmus
	FormJovian
)

// forms are the selectors and lengths of the forms.
var forms = [...]struct {
	name     string
	selector [4]byte
	length   int
}{
	FormBedrock: {"bedrock", [4]byte{0x01, 0x5d, 0x8e, 0xb9}, 4 + 8*32},
	FormEcotone: {"ecotone", [4]byte{0x44, 0x0a, 0x5e, 0x20}, 164},
	FormIsthmus: {"isthmus", [4]byte{0x09, 0x89, 0x99, 0xbe}, 176},
	FormJovian:  {"jovian", [4]byte{0x3d, 0xb6, 0xbe, 0x2b}, 178},
}

// String returns the name of the fork that brought the form.
func (f Form) String() string {
	if f >= FormBedrock && f <= FormJovian {
		return forms[f].name
	}
	return fmt.Sprintf("form(%d)", uint8(f))
}

// Attributes are what an L2 block knows of L1, and the chain's fee parameters (specs,
// l1-attributes.md of each fork).
type Attributes struct {
	Form Form
	// Number, Time, Hash and the base fees, in wei, are the L1 origin's.
	Number, Time         uint64
	Hash                 common.Hash
	BaseFee, BlobBaseFee uint256.Int
	// Sequence is the number of L2 blocks with this L1 origin before this one.
	Sequence uint64
	// BatcherHash is the batcher's address, with zeros in front.
	BatcherHash common.Hash

	// Overhead and Scalar are of FormBedrock only.
	Overhead, Scalar uint256.Int
	// The scalars are in millionths, since FormEcotone.
	BaseFeeScalar, BlobBaseFeeScalar uint32
	// These are there since FormIsthmus; the constant is in wei.
	OperatorFeeScalar   uint32
	OperatorFeeConstant uint64
	// DAFootprintGasScalar is gas for a byte of estimated size, since FormJovian.
	DAFootprintGasScalar uint16
}

// ParseAttributes decodes the data of the deposit that begins a block. It fails with
// ErrUnknownForm for a selector that it does not know.
func ParseAttributes(data []byte) (*Attributes, error) {
	if len(data) < 4 {
		return nil, fmt.Errorf("L1 attributes of %d bytes have no selector", len(data))
	}
	a := new(Attributes)
	for f := FormBedrock; f <= FormJovian; f++ {
		if forms[f].selector == [4]byte(data) {
			a.Form = f
		}
	}
	if a.Form == 0 {
		return nil, fmt.Errorf("%w: selector %x, %d bytes", ErrUnknownForm, data[:4], len(data))
	}
	if len(data) != forms[a.Form].length {
		return nil, fmt.Errorf("L1 attributes of form %v have %d bytes, not %d", a.Form, forms[a.Form].length, len(data))
	}
	if a.Form == FormBedrock {
		return a, a.parseWords(data[4:])
	}
	be := binary.BigEndian
	a.BaseFeeScalar = be.Uint32(data[4:])
	a.BlobBaseFeeScalar = be.Uint32(data[8:])
	a.Sequence = be.Uint64(data[12:])
	a.Time = be.Uint64(data[20:])
	a.Number = be.Uint64(data[28:])
	a.BaseFee.SetBytes32(data[36:68])
	a.BlobBaseFee.SetBytes32(data[68:100])
	a.Hash = common.Hash(data[100:132])
	a.BatcherHash = common.Hash(data[132:164])
	if a.Form >= FormIsthmus {
		a.OperatorFeeScalar = be.Uint32(data[164:])
		a.OperatorFeeConstant = be.Uint64(data[168:])
	}
	if a.Form >= FormJovian {
		a.DAFootprintGasScalar = be.Uint16(data[176:])
	}
	return a, nil
}

// parseWords decodes the eight arguments of setL1BlockValues.
func (a *Attributes) parseWords(words []byte) error {
	for i, n := range map[int]*uint64{0: &a.Number, 1: &a.Time, 4: &a.Sequence} {
		w := words[32*i : 32*i+32]
		if [24]byte(w) != [24]byte{} {
			return fmt.Errorf("L1 attributes: argument %d exceeds 64 bits", i)
		}
		*n = binary.BigEndian.Uint64(w[24:])
	}
	a.BaseFee.SetBytes32(words[64:96])
	a.Hash = common.Hash(words[96:128])
	a.BatcherHash = common.Hash(words[160:192])
	a.Overhead.SetBytes32(words[192:224])
	a.Scalar.SetBytes32(words[224:256])
	return nil
}

// Encode returns what ParseAttributes decodes. Fields that a's form lacks are left out.
// It panics if a has no form.
func (a *Attributes) Encode() []byte {
	data := make([]byte, 0, forms[FormBedrock].length)
	data = append(data, forms[a.Form].selector[:]...)
	baseFee, blobBaseFee := a.BaseFee.Bytes32(), a.BlobBaseFee.Bytes32()
	if a.Form == FormBedrock {
		overhead, scalar := a.Overhead.Bytes32(), a.Scalar.Bytes32()
		for _, w := range [][]byte{
			word(a.Number), word(a.Time), baseFee[:], a.Hash[:], word(a.Sequence), a.BatcherHash[:], overhead[:], scalar[:],
		} {
			data = append(data, w...)
		}
		return data
	}
	be := binary.BigEndian
	data = be.AppendUint32(data, a.BaseFeeScalar)
	data = be.AppendUint32(data, a.BlobBaseFeeScalar)
	data = be.AppendUint64(data, a.Sequence)
	data = be.AppendUint64(data, a.Time)
	data = be.AppendUint64(data, a.Number)
	data = append(data, baseFee[:]...)
	data = append(data, blobBaseFee[:]...)
	data = append(data, a.Hash[:]...)
	data = append(data, a.BatcherHash[:]...)
	if a.Form >= FormIsthmus {
		data = be.AppendUint32(data, a.OperatorFeeScalar)
		data = be.AppendUint64(data, a.OperatorFeeConstant)
	}
	if a.Form >= FormJovian {
		data = be.AppendUint16(data, a.DAFootprintGasScalar)
	}
	return data
}

// Deposit returns the deposit that begins a block with these attributes, since Regolith.
func (a *Attributes) Deposit() *Deposit {
	return &Deposit{
		SourceHash: L1InfoSourceHash(a.Hash, a.Sequence),
		From:       L1AttributesDepositor, To: new(L1BlockAddress),
		Gas: 1_000_000, Data: a.Encode(),
	}
}
