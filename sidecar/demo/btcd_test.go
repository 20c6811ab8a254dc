package demo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeProgram writes a file that could be a program.
func fakeProgram(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestFindBtcd(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "btcd")
	fakeProgram(t, path)
	for _, hint := range []string{path, dir} {
		if found, err := FindBtcd(t.Context(), hint); err != nil || found != path {
			t.Errorf("with hint %s: %q, %v", hint, found, err)
		}
	}
	if found, err := FindBtcd(t.Context(), filepath.Join(dir, "none")); err == nil {
		t.Errorf("with a hint that does not exist: %q", found)
	}
}

func TestFindBtcdBesideProgram(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	beside := filepath.Join(filepath.Dir(self), "btcd")
	if _, err := os.Stat(beside); err == nil {
		t.Skip("not checked: there is a btcd beside this test already")
	}
	fakeProgram(t, beside)
	t.Cleanup(func() { os.Remove(beside) })
	if found, err := FindBtcd(t.Context(), ""); err != nil || found != beside {
		t.Errorf("%q, %v", found, err)
	}
}

func TestFindBtcdOutsideSourceTree(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	found, err := FindBtcd(t.Context(), dir)
	if err == nil {
		t.Fatalf("found %s", found)
	}
	if !strings.Contains(err.Error(), "put a btcd there") {
		t.Errorf("the error does not say what to do: %v", err)
	}
}
