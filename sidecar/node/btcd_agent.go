package node

import (
	"context"
	"fmt"
)

// Agent returns the name and version of the node in the form in which nodes tell
// them to their peers, such as /btcd:0.26.2/: btcd does not tell its own by RPC,
// but for the number in getinfo.
func (b *Btcd) Agent(ctx context.Context) (string, error) {
	var info struct {
		Version *uint32 `json:"version"`
	}
	err := b.rpc.call(ctx, b.m.getInfo, &info)
	if err == nil && info.Version == nil {
		err = malformed("version is missing")
	}
	if err != nil {
		return "", fmt.Errorf("btcd: %w", err)
	}
	v := *info.Version // 1,000,000 for the first part, 10,000 and 100 for the others
	return fmt.Sprintf("/btcd:%d.%d.%d/", v/1_000_000, v/10_000%100, v/100%100), nil
}
