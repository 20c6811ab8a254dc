// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {BitcoinHeaders} from "./BitcoinHeaders.sol";

/// A relay that is told of one change of the target every 2016 blocks, and believes any
/// chain of headers that has a target it knows. It is not told heights: an epoch is the
/// one after the one before.
///
/// It has the interface, the storage layout and the words of the LightRelay on BOB, and
/// was written from their description.
contract LightRelay {
    using BitcoinHeaders for bytes;
    using BitcoinHeaders for bytes32;

    /// What the relay knows of 2016 blocks: the time of the first, and their target. A
    /// time of 0 is an epoch that it does not know.
    struct Epoch {
        uint32 timestamp;
        uint224 target;
    }

    event Genesis(uint256 blockHeight);
    event Retarget(uint256 oldDifficulty, uint256 newDifficulty);
    event ProofLengthChanged(uint256 newLength);
    event AuthorizationRequirementChanged(bool newStatus);
    event SubmitterAuthorized(address submitter);
    event SubmitterDeauthorized(address submitter);
    event OwnershipTransferred(address indexed previousOwner, address indexed newOwner);

    error OwnableUnauthorizedAccount(address account);
    error OwnableInvalidOwner(address owner);

    address public owner;
    bool public ready;
    /// Whether only those that are authorised may call retarget.
    bool public authorizationRequired;
    /// How many headers a retarget needs on either side.
    uint64 public proofLength;
    uint64 public genesisEpoch;
    uint64 public currentEpoch;
    uint256 internal currentEpochDifficulty;
    uint256 internal prevEpochDifficulty;
    mapping(uint256 => Epoch) internal epochs;
    mapping(address => bool) public isAuthorized;

    modifier onlyOwner() {
        if (msg.sender != owner) revert OwnableUnauthorizedAccount(msg.sender);
        _;
    }

    modifier onlyReady() {
        require(ready, "Relay is not ready for use");
        _;
    }

    constructor() {
        setOwner(msg.sender);
    }

    function transferOwnership(address newOwner) external onlyOwner {
        if (newOwner == address(0)) revert OwnableInvalidOwner(address(0));
        setOwner(newOwner);
    }

    function renounceOwnership() external onlyOwner {
        setOwner(address(0));
    }

    function setOwner(address newOwner) private {
        emit OwnershipTransferred(owner, newOwner);
        owner = newOwner;
    }

    /// Begins the relay with the first header of an epoch, its height, and the number
    /// of headers that a retarget needs on either side. Of the header only the length is
    /// checked.
    function genesis(bytes memory genesisHeader, uint256 genesisHeight, uint64 genesisProofLength)
        external
        onlyOwner
    {
        require(!ready, "Genesis already performed");
        require(genesisHeader.length == BitcoinHeaders.SIZE, "Invalid genesis header length");
        require(genesisHeight % BitcoinHeaders.EPOCH == 0, "Invalid height of relay genesis block");
        require(genesisProofLength < BitcoinHeaders.EPOCH, "Proof length excessive");
        require(genesisProofLength > 0, "Proof length may not be zero");

        uint256 target = genesisHeader.target();
        genesisEpoch = uint64(genesisHeight / BitcoinHeaders.EPOCH);
        currentEpoch = genesisEpoch;
        epochs[genesisEpoch] = Epoch(uint32(genesisHeader.time()), uint224(target));
        proofLength = genesisProofLength;
        currentEpochDifficulty = BitcoinHeaders.difficulty(target);
        ready = true;
        emit Genesis(genesisHeight);
    }

    function setProofLength(uint64 newLength) external onlyReady onlyOwner {
        require(newLength < BitcoinHeaders.EPOCH, "Proof length excessive");
        require(newLength > 0, "Proof length may not be zero");
        require(newLength != proofLength, "Proof length unchanged");
        proofLength = newLength;
        emit ProofLengthChanged(newLength);
    }

    function setAuthorizationStatus(bool status) external onlyOwner {
        authorizationRequired = status;
        emit AuthorizationRequirementChanged(status);
    }

    function authorize(address submitter) external onlyOwner {
        isAuthorized[submitter] = true;
        emit SubmitterAuthorized(submitter);
    }

    function deauthorize(address submitter) external onlyOwner {
        isAuthorized[submitter] = false;
        emit SubmitterDeauthorized(submitter);
    }

    /// Tells the relay of the next epoch by the last headers of the current one and the
    /// first of the next, proofLength of each.
    function retarget(bytes memory headers) external onlyReady {
        require(!authorizationRequired || isAuthorized[msg.sender], "Submitter unauthorized");
        uint256 half = proofLength * BitcoinHeaders.SIZE;
        require(headers.length == 2 * half, "Invalid header length");

        Epoch memory latest = epochs[currentEpoch];
        bytes32 last;
        uint256 target;
        for (uint256 offset = 0; offset < half; offset += BitcoinHeaders.SIZE) {
            (last, target) = validateHeader(headers, offset, last);
            require(target == latest.target, "Invalid target in pre-retarget headers");
        }
        uint256 end = headers.headerAt(half - BitcoinHeaders.SIZE).time();
        require(end < block.timestamp, "Epoch cannot end in the future");
        uint256 expected = BitcoinHeaders.retarget(latest.target, latest.timestamp, end);

        uint256 mined;
        for (uint256 offset = half; offset < headers.length; offset += BitcoinHeaders.SIZE) {
            (last, target) = validateHeader(headers, offset, last);
            if (mined == 0) {
                mined = target;
                require(BitcoinHeaders.isTruncated(target, expected), "Invalid target in new epoch");
            } else {
                require(target == mined, "Unexpected target change after retarget");
            }
        }

        currentEpoch++;
        epochs[currentEpoch] = Epoch(uint32(headers.headerAt(half).time()), uint224(mined));
        uint256 oldDifficulty = currentEpochDifficulty;
        uint256 newDifficulty = BitcoinHeaders.difficulty(mined);
        prevEpochDifficulty = oldDifficulty;
        currentEpochDifficulty = newDifficulty;
        emit Retarget(oldDifficulty, newDifficulty);
    }

    /// Reverts unless the relay believes headers, 2 to 2015 of a chain: each has the
    /// work that its target demands, and that is the target of the epoch that the first
    /// one's time is in, or of a neighbour; it changes with an epoch that the relay
    /// knows.
    function validateChain(bytes memory headers)
        external
        view
        returns (uint256 startingHeaderTimestamp, uint256 headerCount)
    {
        require(headers.length % BitcoinHeaders.SIZE == 0, "Invalid header length");
        headerCount = headers.length / BitcoinHeaders.SIZE;
        require(headerCount > 1 && headerCount < BitcoinHeaders.EPOCH, "Invalid number of headers");
        startingHeaderTimestamp = headers.headerAt(0).time();
        (bytes32 last, uint256 target) = validateHeader(headers, 0, bytes32(0));

        uint256 number = currentEpoch;
        Epoch memory epoch = epochs[number];
        Epoch memory next;
        while (startingHeaderTimestamp < epoch.timestamp) {
            next = epoch;
            epoch = epochs[--number];
        }
        require(epoch.timestamp > 0, "Cannot validate chains before relay genesis");
        if (target != epoch.target) {
            // A block's time may be a little before its epoch or after it.
            if (target == next.target) {
                epoch = next;
                next = Epoch(0, 0);
            } else {
                next = epoch;
                epoch = epochs[--number];
                require(target == epoch.target, "Invalid target in header chain");
            }
        }

        for (uint256 offset = BitcoinHeaders.SIZE; offset < headers.length; offset += BitcoinHeaders.SIZE) {
            (last, target) = validateHeader(headers, offset, last);
            if (target == epoch.target) continue;
            require(
                next.timestamp != 0 && target == next.target && headers.headerAt(offset).time() == next.timestamp,
                "Invalid target in header chain"
            );
            epoch = next;
            next = Epoch(0, 0);
        }
    }

    function getBlockDifficulty(uint256 blockNumber) external view returns (uint256) {
        return getEpochDifficulty(blockNumber / BitcoinHeaders.EPOCH);
    }

    function getEpochDifficulty(uint256 epochNumber) public view returns (uint256) {
        require(epochNumber >= genesisEpoch, "Epoch is before relay genesis");
        require(epochNumber <= currentEpoch, "Epoch is not proven to the relay yet");
        return BitcoinHeaders.difficulty(epochs[epochNumber].target);
    }

    /// The heights of the first and the last block that the relay can judge.
    function getRelayRange() external view returns (uint256 relayGenesis, uint256 currentEpochEnd) {
        relayGenesis = genesisEpoch * BitcoinHeaders.EPOCH;
        currentEpochEnd = currentEpoch * BitcoinHeaders.EPOCH + BitcoinHeaders.EPOCH - 1;
    }

    function getCurrentEpochDifficulty() external view returns (uint256) {
        return currentEpochDifficulty;
    }

    function getPrevEpochDifficulty() external view returns (uint256) {
        return prevEpochDifficulty;
    }

    function getCurrentAndPrevEpochDifficulty() external view returns (uint256 current, uint256 previous) {
        return (currentEpochDifficulty, prevEpochDifficulty);
    }

    /// Checks that the header follows the one with the digest last, if that is not zero,
    /// and that its digest is below its own target; Bitcoin allows one that is equal.
    function validateHeader(bytes memory headers, uint256 offset, bytes32 last)
        private
        pure
        returns (bytes32 digest, uint256 target)
    {
        bytes memory header = headers.headerAt(offset);
        require(last == bytes32(0) || header.previous() == last, "Invalid chain");
        target = header.target();
        digest = header.digest();
        require(digest.work() < target, "Invalid work");
    }
}
