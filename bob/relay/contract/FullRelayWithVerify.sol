// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {BitcoinHeaders} from "./BitcoinHeaders.sol";
import {FullRelay} from "./FullRelay.sol";

/// A FullRelay that verifies that transactions are in blocks.
contract FullRelayWithVerify is FullRelay {
    using BitcoinHeaders for bytes;

    /// How many headers below the best one a proof can be.
    uint256 private constant WINDOW = 2048;

    constructor(bytes memory _genesisHeader, uint256 _height, bytes32 _periodStart)
        FullRelay(_genesisHeader, _height, _periodStart)
    {}

    /// Reverts unless the header is in the chain of the best one, with at least
    /// _numConfs headers on top: the lowest eight bits of their number count.
    function verifyHeaderHash(bytes32 _headerHash, uint8 _numConfs) external view {
        verify(_headerHash, _numConfs);
    }

    /// Reverts unless _proof, the digests from the transaction's on up, shows that the
    /// transaction with this txid is the one at _index in the block of the header, and
    /// verifyHeaderHash accepts that. What it calls a transaction need not be one: who
    /// asks must see to it that the leaf is no inner node of the tree.
    function verifyProof(bytes memory _header, bytes memory _proof, bytes32 _txId, uint256 _index, uint8 _numConfs)
        external
        view
    {
        require(_header.length == BitcoinHeaders.SIZE, "Bad header block");
        require(_proof.length % 32 == 0, "Bad merkle array proof");
        require(proves(_txId, _header.merkleRoot(), _proof, _index), "Bad inclusion proof");
        verify(_header.digest(), _numConfs);
    }

    function verify(bytes32 digest, uint8 confirmations) private view {
        bytes32 best = bestKnownDigest;
        require(isAbove(digest, best, WINDOW), "Block is not in longest chain");
        uint256 depth = heightOf(best) - heightOf(digest);
        // Confirmations have eight bits in the interface that this contract keeps.
        require(uint8(depth) >= confirmations, "Insufficient confirmations");
    }

    /// The bits of index beyond the proof's length do not count.
    function proves(bytes32 digest, bytes32 root, bytes memory proof, uint256 index) private pure returns (bool) {
        if (proof.length == 0) return digest == root && index == 0;
        for (uint256 offset = 0; offset < proof.length; offset += 32) {
            bytes32 other = proof.word(offset);
            bytes memory pair = index % 2 == 1 ? abi.encodePacked(other, digest) : abi.encodePacked(digest, other);
            digest = sha256(abi.encodePacked(sha256(pair)));
            index /= 2;
        }
        return digest == root;
    }
}
