package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// static holds the page's template and what it loads. Nothing comes from
// another server.
//
//go:embed static
var static embed.FS

// parsePage returns the page's template, which draws a document.
func parsePage() (*template.Template, error) {
	return template.New("page.html").Funcs(template.FuncMap{
		"count":  count,
		"ms":     milliseconds,
		"short":  shortHash,
		"clock":  func(t time.Time) string { return t.UTC().Format("15:04:05") },
		"moment": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	}).ParseFS(static, "static/page.html")
}

// assetTypes are the files that the page loads, and what they are.
var assetTypes = map[string]string{
	"style.css": "text/css; charset=utf-8",
	"page.js":   "text/javascript; charset=utf-8",
	"icon.svg":  "image/svg+xml",
}

// newAssetHandler serves a file of static. Browsers may keep it, and ask each
// time whether it is still the same.
func newAssetHandler(name, contentType string) (http.HandlerFunc, error) {
	content, err := static.ReadFile("static/" + name)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	etag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", etag)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	}, nil
}

// A mood is what the page tells at first sight; it is the class of its body.
type mood string

const (
	moodDiffer    mood = "differ"    // red: the alarm
	moodLost      mood = "lost"      // grey: nobody to compare with
	moodUndecided mood = "undecided" // amber
	moodAgree     mood = "agree"     // green
	moodWaiting   mood = "waiting"   // grey: nothing judged yet
)

// Mood returns what the page tells at first sight. A difference outshouts
// everything.
func (d document) Mood() mood {
	switch {
	case d.Outcome == Differ:
		return moodDiffer
	case !d.Node.Attached:
		return moodLost
	case d.Outcome == Undecided:
		return moodUndecided
	case d.Outcome == Agree:
		return moodAgree
	}
	return moodWaiting
}

// Headline says the mood in words.
func (d document) Headline() string {
	switch d.Mood() {
	case moodDiffer:
		return "Verdict differs from the node’s"
	case moodLost:
		return "Not attached to the node"
	case moodUndecided:
		return "A verdict is undecided"
	case moodAgree:
		return "Agrees with the node"
	}
	return "Waiting for the first block"
}

// A segment is one stage in the bar that shows a block's times.
type segment struct {
	Class    string
	X, Width float64
}

// Bar returns the stages of b as parts of a bar 100 wide, to the scale of the
// slowest block shown and rounded to hundredths.
func (d document) Bar(b Block) []segment {
	var slowest float64
	for _, other := range d.Blocks {
		slowest = max(slowest, other.stages())
	}
	if slowest == 0 {
		return nil
	}
	var bar []segment
	var x float64
	for _, stage := range []struct {
		class   string
		seconds float64
	}{{"parse", b.Parse}, {"lookup", b.Lookup}, {"rules", b.Rules}, {"scripts", b.Scripts}} {
		width := stage.seconds / slowest * 100
		bar = append(bar, segment{stage.class, hundredths(x), hundredths(width)})
		x += width
	}
	return bar
}

func hundredths(x float64) float64 { return math.Round(x*100) / 100 }

// stages returns the time of all stages together.
func (b Block) stages() float64 { return b.Parse + b.Lookup + b.Rules + b.Scripts }

// Running returns the uptime to the precision that a reader cares for.
func (d document) Running() string {
	up := time.Duration(d.Uptime * float64(time.Second))
	day := 24 * time.Hour
	switch {
	case up >= day:
		return strconv.Itoa(int(up/day)) + " d " + strconv.Itoa(int(up%day/time.Hour)) + " h"
	case up >= time.Hour:
		return strconv.Itoa(int(up/time.Hour)) + " h " + strconv.Itoa(int(up%time.Hour/time.Minute)) + " min"
	case up >= time.Minute:
		return strconv.Itoa(int(up/time.Minute)) + " min"
	}
	return "under a minute"
}

// count formats a number with its digits in groups of three.
func count(n any) string {
	var digits string
	switch n := n.(type) {
	case int:
		digits = strconv.Itoa(n)
	case int64:
		digits = strconv.FormatInt(n, 10)
	case uint32:
		digits = strconv.FormatUint(uint64(n), 10)
	case uint64:
		digits = strconv.FormatUint(n, 10)
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// milliseconds formats seconds as milliseconds.
func milliseconds(seconds float64) string {
	return strconv.FormatFloat(seconds*1000, 'f', 2, 64)
}

// shortHash returns the end of a hash, where the digits differ; the beginning
// is the proof of work's zeros.
func shortHash(hash string) string {
	if len(hash) <= 16 {
		return hash
	}
	return "…" + strings.ToValidUTF8(hash[len(hash)-16:], "")
}
