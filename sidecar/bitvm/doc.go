// Package bitvm answers questions about BitVM from files: whether a proof is valid,
// whether signatures are, and what of an assertion can be disproved.
package bitvm
