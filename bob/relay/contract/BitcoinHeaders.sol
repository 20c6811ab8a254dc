// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// Reads Bitcoin's block headers, of 80 bytes. Digests are double SHA-256 hashes in
/// internal byte order.
///
/// Other than in Bitcoin the highest bit of a target's mantissa is no sign, and a target
/// of more than 256 bits, or with a size below 3, panics (0x11).
library BitcoinHeaders {
    uint256 internal constant SIZE = 80;

    /// How many blocks a target stays the same for, and how many seconds they are
    /// meant to take.
    uint256 internal constant EPOCH = 2016;
    uint256 internal constant EPOCH_SECONDS = 14 days;

    /// The target of difficulty 1, 0x1d00ffff.
    uint256 internal constant DIFFICULTY_1 = 0xffff << 208;

    /// The header that begins at an offset. It panics (0x32) if there is none.
    function headerAt(bytes memory headers, uint256 offset) internal pure returns (bytes memory header) {
        headers[offset + SIZE - 1];
        header = new bytes(SIZE);
        assembly ("memory-safe") {
            mcopy(add(header, 32), add(add(headers, 32), offset), SIZE)
        }
    }

    function digest(bytes memory header) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(sha256(header)));
    }

    function previous(bytes memory header) internal pure returns (bytes32) {
        return word(header, 4);
    }

    function merkleRoot(bytes memory header) internal pure returns (bytes32) {
        return word(header, 36);
    }

    function time(bytes memory header) internal pure returns (uint256) {
        return number(header, 68) | uint256(uint8(header[71])) << 24;
    }

    /// The target that four bytes stand for: a mantissa, lowest byte first, and how many
    /// bytes the number has.
    function target(bytes memory header) internal pure returns (uint256) {
        return number(header, 72) * 256 ** (uint256(uint8(header[75])) - 3);
    }

    /// The number of three bytes, lowest first.
    function number(bytes memory header, uint256 offset) private pure returns (uint256) {
        return uint256(uint8(header[offset])) | uint256(uint8(header[offset + 1])) << 8
            | uint256(uint8(header[offset + 2])) << 16;
    }

    function word(bytes memory data, uint256 offset) internal pure returns (bytes32 value) {
        assembly ("memory-safe") {
            value := mload(add(add(data, 32), offset))
        }
    }

    /// A whole number, 0 above the target of difficulty 1. A target of 0 panics (0x12).
    function difficulty(uint256 ofTarget) internal pure returns (uint256) {
        return DIFFICULTY_1 / ofTarget;
    }

    /// The number that a digest is as work: its last byte is the highest.
    function work(bytes32 ofDigest) internal pure returns (uint256 value) {
        value = uint256(ofDigest);
        value = (value & 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff) << 8
            | (value >> 8 & 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff);
        value = (value & 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff) << 16
            | (value >> 16 & 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff);
        value = (value & 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff) << 32
            | (value >> 32 & 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff);
        value = (value & 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff) << 64
            | (value >> 64 & 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff);
        value = value << 128 | value >> 128;
    }

    /// The target after an epoch with the target old whose first and last blocks have
    /// these times, in full; a header has its leading bits only. The lowest 16 bits are
    /// dropped, for the product to have a place.
    function retarget(uint256 old, uint256 first, uint256 last) internal pure returns (uint256) {
        require(first <= last, "Underflow during subtraction.");
        uint256 elapsed = last - first;
        if (elapsed < EPOCH_SECONDS / 4) elapsed = EPOCH_SECONDS / 4;
        if (elapsed > EPOCH_SECONDS * 4) elapsed = EPOCH_SECONDS * 4;
        return (old / 65536 * elapsed / EPOCH_SECONDS) * 65536;
    }

    /// Whether a header may have the target encoded where full is due.
    function isTruncated(uint256 encoded, uint256 full) internal pure returns (bool) {
        return encoded & full == encoded;
    }
}
