package relay

// A ProofLengthChanged says that a retarget needs another number of headers on either
// side.
type ProofLengthChanged struct{ Length uint64 }

// An AuthorizationRequirementChanged says whether a retarget needs authorisation.
type AuthorizationRequirementChanged struct{ Required bool }

// A SubmitterAuthorized says that an address may call Retarget.
type SubmitterAuthorized struct{ Submitter Address }

// A SubmitterDeauthorized says that it is authorised no more.
type SubmitterDeauthorized struct{ Submitter Address }

// An OwnershipTransferred says whom a LightRelay obeys: nobody, if To is zero.
type OwnershipTransferred struct{ From, To Address }

func (ProofLengthChanged) event()              {}
func (AuthorizationRequirementChanged) event() {}
func (SubmitterAuthorized) event()             {}
func (SubmitterDeauthorized) event()           {}
func (OwnershipTransferred) event()            {}

// Owner returns the address that may change how the relay works; zero if none may any
// more.
func (r *LightRelay) Owner() Address { return r.owner }

// AuthorizationRequired reports whether only those that are authorised may call
// Retarget.
func (r *LightRelay) AuthorizationRequired() bool { return r.authorizationRequired }

// IsAuthorized reports whether an address is authorised, needed or not.
func (r *LightRelay) IsAuthorized(submitter Address) bool { return r.authorized[submitter] }

// MayRetarget reports whether Retarget accepts calls from an address.
func (r *LightRelay) MayRetarget(sender Address) bool {
	return !r.authorizationRequired || r.authorized[sender]
}

// SetProofLength changes how many headers a retarget needs. Only the owner may.
func (r *LightRelay) SetProofLength(sender Address, length uint64) ([]Event, error) {
	if err := require(r.ready, "Relay is not ready for use"); err != nil {
		return nil, err
	}
	if err := r.onlyOwner(sender); err != nil {
		return nil, err
	}
	if err := require(length < epochLength, "Proof length excessive"); err != nil {
		return nil, err
	}
	if err := require(length > 0, "Proof length may not be zero"); err != nil {
		return nil, err
	}
	if err := require(length != r.proofLength, "Proof length unchanged"); err != nil {
		return nil, err
	}
	r.proofLength = length
	return []Event{ProofLengthChanged{length}}, nil
}

// SetAuthorizationStatus says whether only those that are authorised may call
// Retarget. Only the owner may.
func (r *LightRelay) SetAuthorizationStatus(sender Address, required bool) ([]Event, error) {
	if err := r.onlyOwner(sender); err != nil {
		return nil, err
	}
	r.authorizationRequired = required
	return []Event{AuthorizationRequirementChanged{required}}, nil
}

// Authorize lets submitter call Retarget. Only the owner may.
func (r *LightRelay) Authorize(sender, submitter Address) ([]Event, error) {
	if err := r.onlyOwner(sender); err != nil {
		return nil, err
	}
	r.authorized[submitter] = true
	return []Event{SubmitterAuthorized{submitter}}, nil
}

// Deauthorize takes that back. Only the owner may.
func (r *LightRelay) Deauthorize(sender, submitter Address) ([]Event, error) {
	if err := r.onlyOwner(sender); err != nil {
		return nil, err
	}
	r.authorized[submitter] = false
	return []Event{SubmitterDeauthorized{submitter}}, nil
}

// TransferOwnership makes another address the owner. Only the owner may.
func (r *LightRelay) TransferOwnership(sender, to Address) ([]Event, error) {
	if err := r.onlyOwner(sender); err != nil {
		return nil, err
	}
	if to == (Address{}) {
		return nil, &Revert{Custom: "OwnableInvalidOwner(address)"}
	}
	return r.setOwner(to), nil
}

// RenounceOwnership leaves the relay without an owner, for good. Only the owner may.
func (r *LightRelay) RenounceOwnership(sender Address) ([]Event, error) {
	if err := r.onlyOwner(sender); err != nil {
		return nil, err
	}
	return r.setOwner(Address{}), nil
}

func (r *LightRelay) setOwner(to Address) []Event {
	from := r.owner
	r.owner = to
	return []Event{OwnershipTransferred{From: from, To: to}}
}

func (r *LightRelay) onlyOwner(sender Address) error {
	if sender != r.owner {
		return &Revert{Custom: "OwnableUnauthorizedAccount(address)"}
	}
	return nil
}
