//go:build !amd64 || purego

package lane

// missingFeature returns what the kernels need and the machine does not have.
func missingFeature() string { return "kernels: this build has none" }

// assembly is not called where missingFeature returns something.
func assembly() *kernelSet { return nil }
