package bench

import "time"

// A perfWorkload is a recording and how it is replayed.
type perfWorkload struct {
	name  string
	shape perfShape
	plan  perfPlan
	// memory is the values of coindb.memory that the sweep tries, that of before first: where
	// regimes may want different ones, all that the optimizer could set, for one between them may be
	// the best for both.
	memory []int64
	// signatures is the values of signatureCaches that it tries, that of before first. Where there is one,
	// all settings have it, before too, and the optimizer leaves it: for who asks what switching is worth,
	// knobs of which both regimes want the same are only noise.
	signatures [][]int64
}

// The names of the workloads. In usualWork coins are asked for in both regimes, which want
// much the same settings. In contrastWork nobody asks for any while blocks are synchronised,
// and many do at the tip, where those that Pebble's cache does not have come from the disk: a cache
// that saves much there only takes memory in a synchronisation.
const usualWork, contrastWork = "usual", "contrast"

// perfWorkloads returns the workloads, each of a size that says something.
func perfWorkloads() [2]perfWorkload {
	return workloads(
		perfWorkload{
			usualWork,
			perfShape{
				Transactions: 40, SyncBlocks: 32, Rounds: 50, Coins: 250_000, TipLookups: 200, SyncLookups: 50, SyncGap: 15 * time.Millisecond,
			},
			perfPlan{Slice: 240 * time.Millisecond, Fills: 480 * time.Millisecond, Sync: 224, Tip: 70, SweepSync: 96, SweepTip: 40, WarmSync: 384, WarmTip: 40, LearnSync: 16_200, LearnTip: 3360},
			[]int64{8 << 20, 1 << 20, 32 << 20},
			[][]int64{{32 << 20, 16 << 20}, {2 << 20, 1 << 20}, {0, 1 << 20}},
		},
		perfWorkload{
			contrastWork,
			perfShape{
				Transactions: 40, SyncBlocks: 32, Rounds: 50, Coins: 250_000, TipLookups: 248, Askers: 8, NoPageCache: true, SyncGap: 30 * time.Millisecond,
			},
			perfPlan{Slice: 360 * time.Millisecond, Fills: 1440 * time.Millisecond, Sync: 160, Tip: 400, SweepSync: 64, SweepTip: 40, Prime: 448, WarmSync: 64, WarmTip: 100, LearnSync: 10_000, LearnTip: 6600},
			[]int64{8 << 20, 1 << 20, 2 << 20, 4 << 20, 16 << 20, 32 << 20},
			[][]int64{{0, 1 << 20}},
		},
	)
}

// quickWorkloads returns them so short that they only show that everything works.
func quickWorkloads() [2]perfWorkload {
	memory, all := []int64{8 << 20, 32 << 20}, perfWorkloads()
	plan := perfPlan{Slice: 120 * time.Millisecond, Fills: 240 * time.Millisecond, Sync: 12, Tip: 10, SweepSync: 12, SweepTip: 6, Prime: 4, WarmSync: 4, WarmTip: 2, LearnSync: 36, LearnTip: 12}
	return workloads(
		perfWorkload{usualWork, perfShape{
			Transactions: 40, SyncBlocks: 12, Rounds: 2, Coins: 20_000, TipLookups: 100, SyncLookups: 20, SyncGap: 15 * time.Millisecond,
		}, plan, memory, all[0].signatures},
		perfWorkload{contrastWork, perfShape{
			Transactions: 40, SyncBlocks: 12, Rounds: 2, Coins: 20_000, TipLookups: 400, Askers: 4, NoPageCache: true, SyncGap: 30 * time.Millisecond,
		}, plan, memory, all[1].signatures},
	)
}

// due returns how long what is measured by a plan takes by its timetable.
func (w *perfWorkload) due(p perfPlan) time.Duration {
	return 2*time.Duration(p.Sync)*w.shape.SyncGap + time.Duration(p.Tip)*tipGap
}

// workloads gives each as many blocks of the tip as its plan replays at most.
func workloads(both ...perfWorkload) [2]perfWorkload {
	for i := range both {
		both[i].shape.TipBlocks = both[i].plan.mostTipBlocks()
	}
	return [2]perfWorkload(both)
}
