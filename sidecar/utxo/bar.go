package utxo

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// A Bar shows progress to people: on a terminal as a bar that is drawn over,
// elsewhere as a line now and then. It is for one goroutine at a time.
type Bar struct {
	w        io.Writer
	terminal bool
	now      func() time.Time

	start, last time.Time
	doing       string
	from        float64 // the share at start
	drawn       bool
}

// How often a bar is drawn, and a line is written.
const (
	barEvery  = 100 * time.Millisecond
	lineEvery = 10 * time.Second
)

// NewBar returns a bar on w.
func NewBar(w io.Writer) *Bar {
	b := &Bar{w: w, now: time.Now}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		b.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return b
}

// Show shows how far something is, if it is time to.
func (b *Bar) Show(p Progress) {
	now := b.now()
	if p.Doing != b.doing {
		b.End()
		b.doing, b.start, b.last, b.from = p.Doing, now, time.Time{}, p.Share
	}
	every := lineEvery
	if b.terminal {
		every = barEvery
	}
	if now.Sub(b.last) < every && p.Share < 1 {
		return
	}
	b.last = now
	text := fmt.Sprintf("%s: %.1f %%", p.Doing, 100*p.Share)
	if p.Total > 0 {
		text += fmt.Sprintf(", %d of %d coins", p.Done, p.Total)
	}
	if took, done := now.Sub(b.start), p.Share-b.from; done > 0 && p.Share < 1 {
		left := time.Duration(float64(took) * (1 - p.Share) / done)
		text += fmt.Sprintf(", %s left", left.Round(time.Second))
	}
	if !b.terminal {
		fmt.Fprintln(b.w, text)
		return
	}
	const width = 30
	full := min(width, max(0, int(p.Share*width)))
	fmt.Fprintf(b.w, "\r[%s%s] %s\x1b[K", strings.Repeat("#", full), strings.Repeat(".", width-full), text)
	b.drawn = true
}

// Note writes a sentence on a line of its own.
func (b *Bar) Note(text string) {
	b.End()
	fmt.Fprintln(b.w, text)
}

// End leaves the bar as it is, and what is written next begins a line.
func (b *Bar) End() {
	if b.drawn {
		fmt.Fprintln(b.w)
		b.drawn = false
	}
}
