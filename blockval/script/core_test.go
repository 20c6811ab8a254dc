package script

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
)

// coreFlags are the flags in the order of Bitcoin Core's script_verify_flag_name.
var coreFlags = [...]Flags{
	P2SH, StrictEnc, DERSig, LowS, NullDummy, SigPushOnly, MinimalData, DiscourageUpgradableNops,
	CleanStack, CheckLockTimeVerify, CheckSequenceVerify, Witness, DiscourageUpgradableWitnessProgram,
	MinimalIf, NullFail, WitnessPubkeyType, ConstScriptCode, Taproot,
	DiscourageUpgradableTaprootVersion, DiscourageOpSuccess, DiscourageUpgradablePubkeyType,
}

// A core is a process that answers with Bitcoin Core's VerifyScript.
type core struct {
	in  io.WriteCloser
	out *bufio.Reader
}

// startCore starts the program that OUTRIDER_CORE_SCRIPT names. It reads lines of the
// flags as a bit field in coreFlags' order, the input, the transaction and the outputs
// that it spends, in hexadecimal, and answers each by the number that Core's
// VerifyScript sets as script_error, 0 for success. Without it there is none.
func startCore(tb testing.TB) *core {
	tb.Helper()
	path := os.Getenv("OUTRIDER_CORE_SCRIPT")
	if path == "" {
		return nil
	}
	cmd := exec.CommandContext(tb.Context(), path)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	return &core{in, bufio.NewReader(out)}
}

// run returns Bitcoin Core's verdict.
func (c *core) run(tb testing.TB, tx *Tx, input int, flags Flags) Error {
	tb.Helper()
	var theirs uint64
	for bit, flag := range coreFlags {
		if flags&flag != 0 {
			theirs |= 1 << bit
		}
	}
	var line, raw bytes.Buffer
	if err := tx.Msg.Serialize(&raw); err != nil {
		tb.Fatal(err)
	}
	fmt.Fprintf(&line, "%d %d %x", theirs, input, raw.Bytes())
	for i := range tx.Prevouts {
		raw.Reset()
		if err := wire.WriteTxOut(&raw, 0, 0, &tx.Prevouts[i]); err != nil {
			tb.Fatal(err)
		}
		line.WriteByte(' ')
		line.WriteString(hex.EncodeToString(raw.Bytes()))
	}
	line.WriteByte('\n')
	if _, err := c.in.Write(line.Bytes()); err != nil {
		tb.Fatal(err)
	}
	answer, err := c.out.ReadString('\n')
	if err != nil {
		tb.Fatalf("Bitcoin Core gave no answer to %s: %v", line.Bytes(), err)
	}
	reason, err := strconv.ParseUint(strings.TrimSpace(answer), 10, 8)
	if err != nil || Error(reason) >= Undecided {
		tb.Fatalf("Bitcoin Core said %q", answer)
	}
	return Error(reason)
}

// bulk returns how many random cases to run: n, or what OUTRIDER_SCRIPT_BULK says.
func bulk(tb testing.TB, n int) int {
	tb.Helper()
	text := os.Getenv("OUTRIDER_SCRIPT_BULK")
	if text == "" {
		return n
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		tb.Fatalf("OUTRIDER_SCRIPT_BULK: %v", err)
	}
	return n
}
