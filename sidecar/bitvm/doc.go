// Package bitvm answers questions about BitVM from files: whether a proof is valid,
// whether signatures are, what of an assertion can be disproved, whether a spend passes,
// and what is wrong with a bridge's graph. And it watches bridges on the chain of a node.
// It also hands to package bitvm what that may not import.
package bitvm
