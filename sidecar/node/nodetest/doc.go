// Package nodetest fakes, for tests, the world outside the sidecar: a btcd that
// answers by the same protocol, and a network that fails in every way that a
// real one does. It imports nothing of the packages that it helps to test.
package nodetest
