package perf

import (
	"strings"
	"testing"
	"time"
)

// What is said of when a change is kept, and of what stands guard, is what the engine is told.
func TestTolerance(t *testing.T) {
	for _, tt := range []struct {
		of    Tolerance
		rule  []string
		guard string
	}{
		{Tolerance{}, []string{"falls by 1.5 % or more", "above 10 (30 where", "may add 2 % to", "and up to 3.4 % in the first hour"}, "costs 25 % more, or does 20 % less work"},
		{Tolerance{0.03, 0.5, 0.01}, []string{"falls by 3 % or more", "may add 1 % to", "and up to 1.7 % in the first hour"}, "costs 50 % more, or does 33.3 % less work"},
	} {
		l, err := tt.of.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		rule := l.rule(10 * time.Second)
		for _, want := range tt.rule {
			if !strings.Contains(rule, want) {
				t.Errorf("the rule has no %q: %s", want, rule)
			}
		}
		if got := l.guards()[0]; !strings.Contains(got, tt.guard) {
			t.Errorf("the guard has no %q: %s", tt.guard, got)
		}
	}
	for _, bad := range []Tolerance{{MinEffect: -0.1}, {Guard: 1}, {Budget: 2}, {MinEffect: 0.3}, {Guard: 0.01}} {
		if l, err := bad.withDefaults(); err == nil {
			t.Errorf("%+v are %+v", bad, l)
		}
	}
}
