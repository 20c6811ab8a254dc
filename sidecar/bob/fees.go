package bob

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/holiman/uint256"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/bob/opstack"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/monitor"
)

// A FeeReport is what transactions cost on the L2, in wei, as decimal numbers.
type FeeReport struct {
	// Block is the one whose prices are taken: the transaction's own, or the newest.
	Block uint64 `json:"block"`
	Fork  string `json:"fork"`
	// ForkFrom says how the fork is known: by an op-node's configuration, or by the form
	// of the block's attributes.
	ForkFrom string `json:"fork_from"`
	// BaseFee is the block's, and Tip what is offered above it, for each unit of gas.
	BaseFee string `json:"base_fee_wei"`
	Tip     string `json:"tip_wei"`
	// L1BaseFee and L1BlobBaseFee are Ethereum's, as the block knows them.
	L1BaseFee     string            `json:"l1_base_fee_wei"`
	L1BlobBaseFee string            `json:"l1_blob_base_fee_wei"`
	Transactions  []TransactionFees `json:"transactions"`
	Total         string            `json:"total_wei"`
	// Notes say what the figures rest on.
	Notes []string `json:"notes"`
}

// TransactionFees are what one transaction pays.
type TransactionFees struct {
	About string `json:"about"`
	Hash  string `json:"hash,omitempty"`
	// Deposit transactions were paid for on L1 and pay nothing on the L2.
	Deposit bool `json:"deposit"`
	// Bytes is its length when it is signed.
	Bytes     int    `json:"bytes"`
	Gas       uint64 `json:"gas"`
	GasPrice  string `json:"gas_price_wei"`
	Execution string `json:"execution_wei"`
	L1        string `json:"l1_wei"`
	Operator  string `json:"operator_wei"`
	Total     string `json:"total_wei"`
	// Receipt says of a transaction in a block whether its receipt has the fees that the
	// rules give: "agrees", or how it differs.
	Receipt string `json:"receipt,omitempty"`
}

// add adds what a transaction pays.
func (r *FeeReport) add(t TransactionFees, f opstack.Fees, sum *uint256.Int) error {
	total, err := f.Total()
	if err != nil {
		return err
	}
	if _, over := sum.AddOverflow(sum, &total); over {
		return opstack.ErrFeeRange
	}
	t.Execution, t.L1, t.Operator, t.Total = f.Execution.Dec(), f.L1.Dec(), f.Operator.Dec(), total.Dec()
	r.Transactions = append(r.Transactions, t)
	r.Total = sum.Dec()
	return nil
}

// caller returns a client of all execution clients.
func (w *Watch) caller() (opstack.Client, error) {
	if w.exec == nil {
		return opstack.Client{}, errors.New("fees are asked of an execution client: set OUTRIDER_BOB_L2")
	}
	return opstack.Client{Caller: w.exec}, nil
}

// describe begins a report about prices of a block.
func (w *Watch) describe(ctx context.Context, b *opstack.Block) (*FeeReport, opstack.Fork, error) {
	a, err := b.Attributes()
	if err != nil {
		return nil, 0, fmt.Errorf("%w: it is no block of an OP chain", err)
	}
	fork, from := a.Fork(), "the form of the block's attributes"
	for _, n := range w.opNodes() {
		if config, err := n.client.RollupConfig(ctx); err == nil {
			fork, from = config.Forks.At(b.Header.Time), "the configuration of "+n.name
			break
		}
	}
	base := new(uint256.Int)
	if b.Header.BaseFee != nil {
		base.SetFromBig(b.Header.BaseFee)
	}
	return &FeeReport{
		Block: b.Header.Number.Uint64(), Fork: fork.String(), ForkFrom: from, BaseFee: base.Dec(), Tip: "0",
		L1BaseFee: a.BaseFee.Dec(), L1BlobBaseFee: a.BlobBaseFee.Dec(), Total: "0", Notes: []string{},
	}, fork, nil
}

// FeesOf returns what a transaction in a block paid, computed from the block, and whether its
// receipt says the same. Deposits are among them. The hash is 0x and 64 digits.
func (w *Watch) FeesOf(ctx context.Context, hash string) (*FeeReport, error) {
	c, err := w.caller()
	if err != nil {
		return nil, err
	}
	var id opstack.ID
	if err := json.Unmarshal([]byte(strconv.Quote(hash)), &id.Hash); err != nil {
		return nil, fmt.Errorf("%.70q is no hash of a transaction: 0x and 64 hexadecimal digits", hash)
	}
	receipt, err := c.Receipt(ctx, id.Hash)
	if err != nil {
		return nil, err
	}
	b, err := c.BlockByHash(ctx, receipt.BlockHash)
	if err != nil {
		return nil, err
	}
	r, fork, err := w.describe(ctx, b)
	if err != nil {
		return nil, err
	}
	for i := range b.Transactions {
		tx := &b.Transactions[i]
		if tx.Hash != id.Hash {
			continue
		}
		raw, err := tx.MarshalBinary()
		if err != nil {
			return nil, err
		}
		t := TransactionFees{About: "transaction", Hash: tx.Hash.Hex(), Deposit: tx.IsDeposit(), Bytes: len(raw), Gas: receipt.GasUsed, GasPrice: "0", Receipt: "agrees"}
		price := new(uint256.Int)
		if !t.Deposit {
			if receipt.EffectiveGasPrice == nil {
				return nil, errors.New("the receipt has no price of gas")
			}
			price.SetFromBig(receipt.EffectiveGasPrice)
			t.GasPrice = price.Dec()
		} else {
			t.About = "deposit"
			r.Notes = append(r.Notes, "a deposit pays nothing on the L2: its sender paid for its gas on Ethereum, in the transaction that caused it")
		}
		fees, err := b.Quote(fork, raw, receipt.GasUsed, price)
		if err != nil {
			return nil, err
		}
		a, err := b.Attributes()
		if err != nil {
			return nil, err
		}
		if err := a.CheckFees(fork, tx, receipt); err != nil {
			t.Receipt = err.Error()
		}
		return r, r.add(t, fees, new(uint256.Int))
	}
	return nil, fmt.Errorf("the block that the receipt is of does not have the transaction %s", hash)
}

// newest begins a report about now: the newest block's prices, and the tip that a node
// suggests.
func (w *Watch) newest(ctx context.Context, c opstack.Client) (r *FeeReport, b *opstack.Block, fork opstack.Fork, tip, price *uint256.Int, err error) {
	head, err := c.Header(ctx, opstack.Unsafe)
	if err != nil {
		return nil, nil, 0, nil, nil, err
	}
	if b, err = c.BlockByHash(ctx, head.Hash()); err != nil {
		return nil, nil, 0, nil, nil, err
	}
	if r, fork, err = w.describe(ctx, b); err != nil {
		return nil, nil, 0, nil, nil, err
	}
	raw, err := w.exec.Call(ctx, "eth_maxPriorityFeePerGas")
	if err != nil {
		return nil, nil, 0, nil, nil, err
	}
	if tip, err = quantity(raw); err != nil {
		return nil, nil, 0, nil, nil, fmt.Errorf("eth_maxPriorityFeePerGas: %w", err)
	}
	price, err = uint256.FromDecimal(r.BaseFee)
	if err != nil {
		return nil, nil, 0, nil, nil, err
	}
	if _, over := price.AddOverflow(price, tip); over {
		return nil, nil, 0, nil, nil, opstack.ErrFeeRange
	}
	r.Tip = tip.Dec()
	r.Notes = append(r.Notes, fmt.Sprintf("prices are those of block %d: the next may have a base fee that is up to a fiftieth higher, and another price of L1", r.Block))
	return r, b, fork, tip, price, nil
}

// quantity decodes a number of a node's answer.
func quantity(raw json.RawMessage) (*uint256.Int, error) {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return nil, fmt.Errorf("%.40q is no number", raw)
	}
	return uint256.FromHex(text)
}

// maxRaw bounds a signed transaction, in bytes: nodes take 128 KiB.
const maxRaw = 128 << 10

// ParseRaw returns the bytes of a signed transaction in hexadecimal, with 0x before it or
// without.
func ParseRaw(text string) ([]byte, error) {
	raw, err := hex.DecodeString(strings.TrimPrefix(strings.TrimSpace(text), "0x"))
	if err != nil || len(raw) == 0 || len(raw) > maxRaw {
		return nil, fmt.Errorf("a signed transaction is 1 to %d bytes in hexadecimal", maxRaw)
	}
	return raw, nil
}

// FeesFor returns what a signed transaction would pay now. How much gas it uses is what a node
// estimates for it.
func (w *Watch) FeesFor(ctx context.Context, raw []byte) (*FeeReport, error) {
	c, err := w.caller()
	if err != nil {
		return nil, err
	}
	var tx opstack.Transaction
	if err := tx.UnmarshalBinary(raw); err != nil {
		return nil, err
	}
	r, b, fork, _, price, err := w.newest(ctx, c)
	if err != nil {
		return nil, err
	}
	t := TransactionFees{About: "transaction", Hash: tx.Hash.Hex(), Deposit: tx.IsDeposit(), Bytes: len(raw), GasPrice: "0"}
	if t.Deposit {
		t.About, t.Gas = "deposit", tx.Deposit.Gas
		r.Notes = append(r.Notes, "a deposit pays nothing on the L2; its gas is bought on Ethereum")
		return r, r.add(t, opstack.Fees{}, new(uint256.Int))
	}
	if tx.Ethereum == nil {
		return nil, fmt.Errorf("a transaction of type %#x is not known", tx.Type)
	}
	from, err := tx.Sender()
	if err != nil {
		return nil, fmt.Errorf("the signature: %w", err)
	}
	// It pays the base fee and its tip, and no more than its cap.
	tip, _ := uint256.FromBig(tx.Ethereum.GasTipCap())
	capped, _ := uint256.FromBig(tx.Ethereum.GasFeeCap())
	base, err := uint256.FromDecimal(r.BaseFee)
	if err != nil {
		return nil, err
	}
	if _, over := price.AddOverflow(base, tip); over || price.Cmp(capped) > 0 {
		price = capped
	}
	r.Tip = tip.Dec()
	if capped.Cmp(base) < 0 {
		r.Notes = append(r.Notes, "the most that it pays for gas is below the base fee: it is not included now")
	}
	call := map[string]any{"from": from, "value": "0x" + tx.Ethereum.Value().Text(16), "input": "0x" + hex.EncodeToString(tx.Ethereum.Data())}
	if to := tx.Ethereum.To(); to != nil {
		call["to"] = to
	}
	if list := tx.Ethereum.AccessList(); len(list) > 0 {
		call["accessList"] = list
	}
	if list := tx.Ethereum.SetCodeAuthorizations(); len(list) > 0 {
		call["authorizationList"] = list
	}
	answer, err := w.exec.Call(ctx, "eth_estimateGas", call)
	if err != nil {
		return nil, fmt.Errorf("what gas it uses: %w", err)
	}
	gas, err := quantity(answer)
	if err != nil || !gas.IsUint64() {
		return nil, fmt.Errorf("eth_estimateGas: %s is no amount of gas", answer)
	}
	t.Gas, t.GasPrice = gas.Uint64(), price.Dec()
	if least := tx.IntrinsicGas(fork); t.Gas < least {
		return nil, fmt.Errorf("eth_estimateGas: %d gas, and the transaction's data, access list and authorizations alone take %d: the node does not count them", t.Gas, least)
	}
	r.Notes = append(r.Notes, "the gas is a node's estimate, which may be a little above what is used")
	fees, err := b.Quote(fork, raw, t.Gas, price)
	if err != nil {
		return nil, err
	}
	return r, r.add(t, fees, new(uint256.Int))
}

// MaxHeaders bounds the headers that a submission is priced for.
const MaxHeaders = 1999

// FeesToRelay returns what it costs now to tell the relay of n headers, the last ones of
// Bitcoin's best chain, or a LightRelay of the last retarget; n does not matter then. Gas is
// what the model of the relay takes.
func (w *Watch) FeesToRelay(ctx context.Context, n int) (*FeeReport, error) {
	if w.relay == nil {
		return nil, errors.New("no relay is known: set OUTRIDER_BOB_RELAY to its address and OUTRIDER_BOB_RELAY_KIND to what it is")
	}
	if n < 1 || n > MaxHeaders {
		return nil, fmt.Errorf("a submission of %d headers: it must be 1 to %d", n, MaxHeaders)
	}
	c, err := w.caller()
	if err != nil {
		return nil, err
	}
	st := w.relay.Refresh(ctx)
	switch {
	case !st.Relay.Known:
		return nil, errors.New(st.Relay.Reason)
	case !st.Bitcoin.Known:
		return nil, errors.New(st.Bitcoin.Reason)
	}
	r, b, fork, tip, price, err := w.newest(ctx, c)
	if err != nil {
		return nil, err
	}
	var calls []submission
	if w.cfg.Kind == relay.KindLight {
		calls, err = w.retarget(ctx, st)
	} else {
		calls, err = w.addHeaders(ctx, st.Bitcoin.V.Height, uint32(n), b)
	}
	if err != nil {
		return nil, err
	}
	r.Notes = append(r.Notes,
		"gas is what the model of BOB's contracts takes, within 2 % of executions, for headers that the relay does not know yet",
		"the signature is a sample's: with another, the L1 fee differs by a few bytes' worth at most")
	sum := new(uint256.Int)
	for i, s := range calls {
		raw, err := opstack.Sample(w.cfg.ChainID, uint64(i), s.limit, s.to, s.data, tip, price)
		if err != nil {
			return nil, err
		}
		fees, err := b.Quote(fork, raw, s.gas, price)
		if err != nil {
			return nil, err
		}
		if err := r.add(TransactionFees{About: s.about, Bytes: len(raw), Gas: s.gas, GasPrice: price.Dec()}, fees, sum); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// A submission is a transaction that tells a relay of something.
type submission struct {
	about      string
	to         relay.Address
	data       []byte
	gas, limit uint64
}

// headersFrom returns so many headers of the best chain from a height on, and their bytes.
func (w *Watch) headersFrom(ctx context.Context, height, n uint32) ([]header.Header, []byte, error) {
	before, err := w.bitcoin.BlockHash(ctx, height-1)
	if err != nil {
		return nil, nil, fmt.Errorf("the Bitcoin node: %w", err)
	}
	list, err := w.bitcoin.Headers(ctx, []chainhash.Hash{before})
	if err != nil {
		return nil, nil, fmt.Errorf("the Bitcoin node: %w", err)
	}
	if len(list) < int(n) || list[0].Prev() != before {
		return nil, nil, fmt.Errorf("the Bitcoin node has too few headers from %d on", height)
	}
	var raw []byte
	for i := range list[:n] {
		raw = append(raw, list[i][:]...)
	}
	return list[:n], raw, nil
}

// headerAt returns the header of the best chain at a height.
func (w *Watch) headerAt(ctx context.Context, height uint32) (h header.Header, err error) {
	hash, err := w.bitcoin.BlockHash(ctx, height)
	if err == nil {
		h, err = w.bitcoin.Header(ctx, hash)
	}
	if err != nil {
		return h, fmt.Errorf("the Bitcoin node: %w", err)
	}
	return h, nil
}

// period is how many blocks Bitcoin's target stays the same for.
const period = 2016

// addHeaders plans for the last n headers up to a height, within what a block like b allows. With
// a multicall each transaction adds and marks; without one, they are marked by another.
func (w *Watch) addHeaders(ctx context.Context, tip, n uint32, b *opstack.Block) ([]submission, error) {
	if tip < n+1 {
		return nil, fmt.Errorf("the best chain has %d headers, and not %d that could be added", tip, n)
	}
	first := tip - n + 1
	_, raw, err := w.headersFrom(ctx, first, n)
	if err != nil {
		return nil, err
	}
	anchor, err := w.headerAt(ctx, first-1)
	if err != nil {
		return nil, err
	}
	start, err := w.headerAt(ctx, (first-1)/period*period)
	if err != nil {
		return nil, err
	}
	model, err := relay.NewFullRelay(anchor[:], uint64(first-1), start.Hash())
	if err != nil {
		return nil, err
	}
	attributes, err := b.Attributes()
	if err != nil {
		return nil, err
	}
	caps := relay.DefaultCaps()
	caps.BlockGas, caps.FootprintScalar = b.Header.GasLimit, attributes.DAFootprintGasScalar
	plan, err := model.Plan(relay.Request{
		Headers: raw, Height: uint64(first), Anchor: anchor[:], PeriodStart: start[:], Best: anchor[:], Ancestor: anchor.Hash(),
		Relay: w.cfg.Relay, Multicall: relay.Address(w.cfg.Multicall),
	}, caps)
	if err != nil {
		return nil, err
	}
	var list []submission
	for _, tx := range plan.Transactions {
		s := submission{fmt.Sprintf("%d headers from %d", tx.Headers, tx.FromHeight), tx.To, tx.Data, tx.Gas, tx.GasLimit}
		switch {
		case tx.Headers == 0:
			s.about = fmt.Sprintf("mark %d", tx.FromHeight)
		case tx.To != w.cfg.Relay:
			s.about += ", marked"
		}
		list = append(list, s)
	}
	return list, nil
}

// retarget is the call that told, or could have told, a LightRelay of the last retarget.
func (w *Watch) retarget(ctx context.Context, st *monitor.State) ([]submission, error) {
	length := st.Relay.V.Light.ProofLength
	boundary := st.Bitcoin.V.Height / period * period
	if st.Bitcoin.V.Height < boundary+length-1 && boundary > period {
		boundary -= period
	}
	if length == 0 || boundary < period {
		return nil, errors.New("the relay was not begun, or Bitcoin had no retarget yet")
	}
	start, err := w.headerAt(ctx, boundary-period)
	if err != nil {
		return nil, err
	}
	_, raw, err := w.headersFrom(ctx, boundary-length, 2*length)
	if err != nil {
		return nil, err
	}
	model := relay.NewLightRelay(relay.Address{1})
	if _, err := model.Genesis(relay.Address{1}, start[:], uint64(boundary-period), uint64(length)); err != nil {
		return nil, err
	}
	receipt, err := model.Retarget(relay.Address{1}, raw, uint64(time.Now().Unix()))
	if err != nil {
		return nil, fmt.Errorf("the retarget at %d: %w", boundary, err)
	}
	return []submission{{fmt.Sprintf("retarget at %d", boundary), w.cfg.Relay, relay.RetargetData(raw), receipt.Gas, receipt.Gas + receipt.Gas/100}}, nil
}
