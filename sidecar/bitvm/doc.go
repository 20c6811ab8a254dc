// Package bitvm answers questions about BitVM from files: whether a proof is valid,
// whether signatures are, what of an assertion can be disproved, and whether a spend passes.
// It also hands to package bitvm what that may not import.
package bitvm
