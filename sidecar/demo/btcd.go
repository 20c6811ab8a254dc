package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

const (
	module      = "github.com/outrider-project/outrider"
	btcdPackage = "github.com/btcsuite/btcd"
)

// FindBtcd returns the path of a btcd program. It takes the first of
//
//   - hint, if that is a file;
//   - btcd beside the running program;
//   - btcd in the directory hint, or in the user's cache directory if hint is
//     empty, built from this module's dependencies if it is not there yet. That
//     needs the go command and a working directory inside this module's source
//     tree, and takes a minute or two the first time.
//
// ctx bounds the build.
func FindBtcd(ctx context.Context, hint string) (string, error) {
	if hint != "" {
		info, err := os.Stat(hint)
		if err != nil {
			return "", fmt.Errorf("find btcd: %w", err)
		}
		if !info.IsDir() {
			return filepath.Abs(hint)
		}
	}
	name := "btcd"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), name)
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
			return beside, nil
		}
	}
	path, err := buildBtcd(ctx, hint, name)
	if err != nil {
		return "", fmt.Errorf("find btcd: none beside this program, and %w; "+
			"put a btcd there, or say where one is", err)
	}
	return path, nil
}

// buildBtcd builds btcd into dir, unless it is there, and returns its path. A
// build in the cache directory has the version of btcd and of Go in its path.
func buildBtcd(ctx context.Context, dir, name string) (string, error) {
	out, err := goCommand(ctx, "list", "-m", "-f", "{{.Path}} {{.Version}}", module, btcdPackage)
	if err != nil {
		return "", fmt.Errorf("cannot build one outside the source tree of %s: %w", module, err)
	}
	fields := strings.Fields(out)
	if len(fields) != 3 { // the main module has no version
		return "", fmt.Errorf("cannot build one outside the source tree of %s", module)
	}
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		goVersion, err := goCommand(ctx, "env", "GOVERSION")
		if err != nil {
			return "", err
		}
		dir = filepath.Join(cache, "outrider", "btcd-"+fields[2]+"-"+strings.TrimSpace(goVersion))
	}
	path := filepath.Join(dir, name)
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	// Several processes may build at once: each renames its own result.
	work, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	built := filepath.Join(work, name)
	if _, err := goCommand(ctx, "build", "-trimpath", "-o", built, btcdPackage); err != nil {
		return "", fmt.Errorf("cannot build one: %w", err)
	}
	if err := os.Rename(built, path); err != nil {
		return "", err
	}
	return path, nil
}

// goCommand runs the go command and returns what it printed.
func goCommand(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if text := strings.TrimSpace(stderr.String()); text != "" {
			err = errors.New(text)
		}
		return "", fmt.Errorf("go %s: %w", args[0], err)
	}
	return stdout.String(), nil
}
