package contract

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/bob/relay"
)

// TestInterface compares the contracts with the interface and the layout of storage of
// those on BOB.
func TestInterface(t *testing.T) {
	const full = "addHeaders(bytes,bytes) addHeadersWithRetarget(bytes,bytes,bytes) " +
		"markNewHeaviest(bytes32,bytes,bytes,uint256) getBestKnownDigest() getRelayGenesis() getLastReorgCommonAncestor() " +
		"getCurrentEpochDifficulty() getPrevEpochDifficulty() findHeight(bytes32) findAncestor(bytes32,uint256) " +
		"isAncestor(bytes32,bytes32,uint256) HEIGHT_INTERVAL()"
	const fullStorage = "relayGenesis 0 0, bestKnownDigest 1 0, lastReorgCommonAncestor 2 0, previousBlock 3 0, " +
		"blockHeight 4 0, currentEpochDiff 5 0, prevEpochDiff 6 0"
	for _, tt := range []struct {
		name                        string
		contract                    *Contract
		functions, events, selector string
		storage                     string
	}{
		{
			"FullRelay", FullRelay(), full,
			"Extension(bytes32,bytes32) NewTip(bytes32,bytes32,bytes32)",
			"addHeaders 65da41b9, addHeadersWithRetarget 7fa637fc, findAncestor 30017b3b, findHeight 60b5c390, " +
				"getBestKnownDigest 1910d973, getCurrentEpochDifficulty 113764be, getLastReorgCommonAncestor c58242cd, " +
				"getPrevEpochDifficulty 2b97be24, getRelayGenesis e3d8d8d8, HEIGHT_INTERVAL 70d53c18, isAncestor b985621a, " +
				"markNewHeaviest 74c3a3a9, Extension f90e4f1d9cd0dd55e339411cbc9b152482307c3a23ed64715e4a2858f641a3f5, " +
				"NewTip 3cc13de64df0f0239626235c51a2da251bbc8c85664ecce39263da3ee03f606c",
			fullStorage,
		},
		{
			"FullRelayWithVerify", FullRelayWithVerify(),
			full + " verifyHeaderHash(bytes32,uint8) verifyProof(bytes,bytes,bytes32,uint256,uint8)",
			"Extension(bytes32,bytes32) NewTip(bytes32,bytes32,bytes32)",
			"verifyHeaderHash e471e72c, verifyProof 05d09a70",
			fullStorage,
		},
		{
			"LightRelay", LightRelay(),
			"genesis(bytes,uint256,uint64) retarget(bytes) validateChain(bytes) getBlockDifficulty(uint256) " +
				"getEpochDifficulty(uint256) getRelayRange() getCurrentEpochDifficulty() getPrevEpochDifficulty() " +
				"getCurrentAndPrevEpochDifficulty() ready() authorizationRequired() proofLength() genesisEpoch() currentEpoch() " +
				"isAuthorized(address) authorize(address) deauthorize(address) setProofLength(uint64) " +
				"setAuthorizationStatus(bool) owner() transferOwnership(address) renounceOwnership()",
			"Genesis(uint256) Retarget(uint256,uint256) ProofLengthChanged(uint256) AuthorizationRequirementChanged(bool) " +
				"SubmitterAuthorized(address) SubmitterDeauthorized(address) OwnershipTransferred(address,address)",
			"genesis 4ca49f51, retarget 7ca5b1dd, validateChain 189179a3, getBlockDifficulty 06a27422, " +
				"getEpochDifficulty 620414e6, getRelayRange 10b76ed8, getCurrentEpochDifficulty 113764be, " +
				"getPrevEpochDifficulty 2b97be24, getCurrentAndPrevEpochDifficulty 3a1b77b0, ready 6defbf80, " +
				"authorizationRequired 95410d2b, proofLength f5619fda, genesisEpoch b70e6be6, currentEpoch 76671808, " +
				"isAuthorized fe9fbb80, authorize b6a5d7de, deauthorize 27c97fa5, setProofLength 19c9aa32, " +
				"setAuthorizationStatus eb8695ef, " +
				"Retarget a282ee798b132f9dc11e06cd4d8e767e562be8709602ca14fea7ab3392acbdab",
			"owner 0 0, ready 0 20, authorizationRequired 0 21, proofLength 0 22, genesisEpoch 1 0, currentEpoch 1 8, " +
				"currentEpochDifficulty 2 0, prevEpochDifficulty 3 0, epochs 4 0, isAuthorized 5 0",
		},
		{
			"Multicall", Multicall(), "aggregate3((address,bool,bytes)[])", "", "aggregate3 82ad56cb", "",
		},
	} {
		a := parseABI(t, tt.contract.ABI)
		var functions, events []string
		hashes := map[string]string{}
		for name, m := range a.Methods {
			functions = append(functions, m.Sig)
			hashes[name] = fmt.Sprintf("%x", m.ID)
		}
		for name, e := range a.Events {
			events = append(events, e.Sig)
			hashes[name] = fmt.Sprintf("%x", e.ID)
		}
		for _, list := range []struct {
			what string
			got  []string
			want string
		}{{"functions", functions, tt.functions}, {"events", events, tt.events}} {
			want := strings.Fields(list.want)
			slices.Sort(list.got)
			slices.Sort(want)
			if !slices.Equal(list.got, want) {
				t.Errorf("%s has the %s %v, want %v", tt.name, list.what, list.got, want)
			}
		}
		for pair := range strings.SplitSeq(tt.selector, ", ") {
			if name, hash, _ := strings.Cut(pair, " "); hashes[name] != hash {
				t.Errorf("%s: %s is %s, want %s", tt.name, name, hashes[name], hash)
			}
		}
		var storage []string
		for _, v := range tt.contract.Storage {
			storage = append(storage, fmt.Sprint(v.Label, " ", v.Slot, " ", v.Offset))
		}
		if got := strings.Join(storage, ", "); got != tt.storage {
			t.Errorf("%s has the storage %s, want %s", tt.name, got, tt.storage)
		}
	}
}

// TestDeploy deploys each contract, and finds its runtime bytecode.
func TestDeploy(t *testing.T) {
	genesis := mine(newRand(1), make([]byte, 80), easyBits, 0)
	constructor := relay.ConstructorData(genesis, 4040, chainhash.Hash{9})
	packed, err := parseABI(t, FullRelay().ABI).Pack("", genesis, number(4040), [32]byte{9})
	if err != nil || !bytes.Equal(packed, constructor) {
		t.Errorf("the constructor's arguments are %x, want %x (%v)", constructor, packed, err)
	}
	for name, tt := range map[string]struct {
		contract *Contract
		args     []byte
	}{
		"FullRelay":           {FullRelay(), constructor},
		"FullRelayWithVerify": {FullRelayWithVerify(), constructor},
		"LightRelay":          {LightRelay(), nil},
		"Multicall":           {Multicall(), nil},
	} {
		d, r := deploy(t, parseABI(t, tt.contract.ABI), relay.Address{1}, slices.Concat(tt.contract.Creation, tt.args))
		if r.err != nil {
			t.Fatalf("%s: %s", name, r.describe())
		}
		if !bytes.Equal(d.db.GetCode(d.address), tt.contract.Runtime) || len(tt.contract.Runtime) > 24_576 {
			t.Errorf("%s: the code of %d bytes is not the artifact's", name, len(tt.contract.Runtime))
		}
	}
}

// TestSources compares the sources with those that the artifact was compiled from. That it
// is what they compile to is for "make contracts-check".
func TestSources(t *testing.T) {
	var file struct{ Sources map[string]string }
	if err := json.Unmarshal(artifact, &file); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob("*.sol")
	if err != nil || len(names) != 5 || len(file.Sources) != len(names) {
		t.Errorf("the sources are %v (%v), those of the artifact %v", names, err, file.Sources)
	}
	for _, name := range names {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(source)); got != file.Sources[name] {
			t.Errorf("the artifact is stale: %s changed; run make contracts", name)
		}
	}
}

// TestRead reads artifacts that are none.
func TestRead(t *testing.T) {
	for artifact, want := range map[string]string{
		`{`:                                     "read the artifact",
		`{}`:                                    "the artifact has no A",
		`{"contracts":{"A":{"creation":"0x"}}}`: "creation bytecode of A",
		`{"contracts":{"A":{"runtime":"123"}}}`: "runtime bytecode of A",
		`{"contracts":{"A":{"storage":{"a":1}}}}`: "read the artifact",
	} {
		if _, err := read([]byte(artifact), "A"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", artifact, err, want)
		}
	}
}
