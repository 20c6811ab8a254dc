package perf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
)

// A partly is why the rest of a command was not obeyed.
type partly struct{ error }

// command has do give an operator's command to the plant, one at a time, and tells
// of it when it was obeyed. If do fails with a partly, it tells of that too. Knobs take their
// time: meanwhile the status is told all the same.
func (p *Performance) command(did string, do func(f *following) (what string, err error)) error {
	p.commands.Lock()
	defer p.commands.Unlock()
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.following == nil {
		return errNotFollowing
	}
	what, err := do(p.following)
	rest, some := errors.AsType[partly](err)
	switch {
	case some:
		what = strings.TrimSpace(what + " in part: " + strings.ReplaceAll(rest.Error(), "\n", "; "))
		p.log.Warn("an operator's command was obeyed in part", "did", did, "what", what)
	case err != nil:
		return err
	default:
		p.log.Info("an operator's command", "did", did, "what", what)
	}
	p.publish(Commanded, Command{At: time.Now(), Did: did, What: what})
	return err
}

// target sets what a resource has to do; zero targets unset it.
func (p *Performance) target(r perfcore.ResourceType, t perfcore.Targets) error {
	return p.command("target", func(f *following) (string, error) {
		if err := f.checkTarget(r, t); err != nil {
			return "", err
		}
		return fmt.Sprintf("%v %+v", r, t), f.optimizer.SetTargets(r, t)
	})
}

// pin sets a knob and keeps it there.
func (p *Performance) pin(ctx context.Context, knob string, value int64) error {
	return p.command("pin", func(f *following) (string, error) {
		return fmt.Sprintf("%s %d", knob, value), f.optimizer.Resources.Pin(ctx, knob, value)
	})
}

// release gives a knob back to the optimizer.
func (p *Performance) release(knob string) error {
	return p.command("release", func(f *following) (string, error) {
		return knob, f.optimizer.Resources.Release(knob)
	})
}

// freeze stops experiments, with the incumbents in force, until thawed, through restarts too.
// Where that cannot be kept it holds until the next one, and the error says so.
func (p *Performance) freeze(why string) error {
	return p.command("freeze", func(f *following) (string, error) {
		if err := f.freezeFor(why); err != nil {
			return why, partly{err}
		}
		return why, nil
	})
}

// freezeFor is freeze of Performance.
func (f *following) freezeFor(why string) error {
	z := f.freeze(Frozen{why, time.Now().UTC().Round(0)})
	if err := f.store.freeze(z); err != nil {
		return fmt.Errorf("it is frozen, but a restart will thaw it, for that was not kept: %w", err)
	}
	return nil
}

// freeze returns the freeze that holds then, which is as old as the first; behind it neither
// experiments nor the arbiter move a knob.
func (f *following) freeze(z Frozen) Frozen {
	f.mu.Lock()
	if f.thaw == nil {
		f.thaw = f.optimizer.Freeze(z.Why)
	} else if !f.frozen.Since.IsZero() {
		z.Since = f.frozen.Since
	}
	f.frozen = z
	f.mu.Unlock()
	if f.arbiter != nil {
		f.arbiter.Quiesce()
	}
	return z
}

// thawed lets experiments go on.
func (p *Performance) thawed() error {
	return p.command("thaw", func(f *following) (string, error) {
		f.mu.Lock()
		thaw := f.thaw
		f.frozen, f.thaw = Frozen{}, nil
		f.mu.Unlock()
		if thaw == nil {
			return "", errors.New("nothing is frozen")
		}
		thaw()
		if err := f.store.thaw(); err != nil {
			return "", partly{fmt.Errorf("it is thawed, but a restart will freeze it again: %w", err)}
		}
		return "", nil
	})
}

// audit has the optimizer look again for better values.
func (p *Performance) audit() error {
	return p.command("optimize", func(f *following) (string, error) {
		if p.cfg.Mode != Optimize {
			return "", fmt.Errorf("the setting perf is %s, which only tells: ask for a dry run, or run the sidecar with --perf optimize", p.cfg.Mode)
		}
		f.optimizer.Audit()
		return "", nil
	})
}

// defaults freezes, and sets every knob to its value at the start; what was promoted in other
// regimes is forgotten. Those that the optimizer or the arbiter owned are its own again; an
// operator's are then pinned. Who gives memory back comes first; that it has been given back is
// not waited for. A knob that refuses keeps no other: the error names those that did. What is
// in force then is in a snapshot, so that a restart does not return to what was before.
func (p *Performance) defaults(ctx context.Context) error {
	return p.command("defaults", func(f *following) (string, error) {
		errs := []error{f.freezeFor("all knobs are at their defaults")}
		f.optimizer.Resources.Forget()
		knobs := f.optimizer.Resources.Knobs()
		slices.SortStableFunc(knobs, func(a, b engine.KnobState) int {
			return cmp.Compare(boolean(a.Incumbent < f.standard[a.Name]), boolean(b.Incumbent < f.standard[b.Name]))
		})
		for _, k := range knobs {
			standard := f.standard[k.Name]
			if k.Owner != engine.Nobody && k.Incumbent == standard && k.Read() == standard {
				continue
			}
			err := f.optimizer.Resources.Pin(ctx, k.Name, standard)
			if err == nil && k.Owner != engine.Operator {
				err = f.optimizer.Resources.Release(k.Name)
			}
			if !errors.Is(err, engine.ErrOperators) { // what was isolated may be an operator's, and stays so
				errs = append(errs, err)
			}
		}
		if err := f.optimizer.Preserve(); err != nil {
			errs = append(errs, fmt.Errorf("no snapshot was taken, so that a restart may return to what was before: %w", err))
		}
		if err := errors.Join(errs...); err != nil {
			return "", partly{err}
		}
		return "", nil
	})
}

// boolean returns 1 for true.
func boolean(v bool) int {
	if v {
		return 1
	}
	return 0
}

// snap takes a snapshot.
func (p *Performance) snap() (taken Snapshot, err error) {
	err = p.command("snap", func(f *following) (string, error) {
		s, err := f.optimizer.Snapshot()
		if err != nil {
			return "", err
		}
		taken = newSnapshot(s)
		return fmt.Sprint(s.Seq), nil
	})
	return taken, err
}

// restore puts a snapshot in force, and returns in a sentence each what of it is
// not legal any more, or a target of what is not measured here.
func (p *Performance) restore(ctx context.Context, seq uint64) (refused []string, err error) {
	refused = []string{}
	err = p.command("restore", func(f *following) (string, error) {
		list, err := f.optimizer.Restore(ctx, seq)
		for _, r := range list {
			refused = append(refused, r.String())
		}
		refused = append(refused, f.dropTargets()...)
		return fmt.Sprint(seq), err
	})
	return refused, err
}

// read has do read of the plant, which stays while it does.
func (p *Performance) read(do func(f *following) error) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.following == nil {
		return errNotFollowing
	}
	return do(p.following)
}

// status returns how things are.
func (p *Performance) status() Status {
	s := Status{Mode: p.cfg.Mode, Regime: p.classifier.Regime(), Resources: []Resource{}, Alerts: p.alerts.active()}
	_ = p.read(func(f *following) error { // errNotFollowing is Following
		s.Following = true
		f.mu.Lock()
		s.Frozen, s.FrozenSince, s.Slice, s.Problem = f.frozen.Why, f.frozen.Since, f.measured, f.problem
		usage := f.usage
		f.mu.Unlock()
		s.Resources = f.resources(usage)
		s.Regret = finite(f.optimizer.Regret())
		if d := f.optimizer.Decisions(0); len(d) > 0 {
			s.Decisions = d[len(d)-1].Seq
		}
		s.Changes, s.Snapshots = f.ring.Changes(), len(f.ring.Snapshots())
		return nil
	})
	return s
}

// knobs returns all knobs.
func (p *Performance) knobs() (list []Knob, err error) {
	err = p.read(func(f *following) error {
		for _, k := range f.optimizer.Resources.Knobs() {
			list = append(list, newKnob(k, f.standard[k.Name]))
		}
		return nil
	})
	return list, err
}
