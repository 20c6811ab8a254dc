// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {BitcoinHeaders} from "./BitcoinHeaders.sol";

/// A relay that is told of every header of Bitcoin, by anybody. To add headers stores
/// them; the relay only follows once one of them is marked as the heaviest.
///
/// It has the interface, the storage layout and the words of the FullRelay on BOB, and
/// was written from their description.
contract FullRelay {
    using BitcoinHeaders for bytes;
    using BitcoinHeaders for bytes32;

    event Extension(bytes32 indexed _first, bytes32 indexed _last);
    event NewTip(bytes32 indexed _from, bytes32 indexed _to, bytes32 indexed _gcd);

    /// How many headers apart a height is stored.
    uint32 public constant HEIGHT_INTERVAL = 4;

    bytes32 internal relayGenesis;
    bytes32 internal bestKnownDigest;
    bytes32 internal lastReorgCommonAncestor;
    /// The digest below each header that was added, and the height of every fourth.
    mapping(bytes32 => bytes32) internal previousBlock;
    mapping(bytes32 => uint256) internal blockHeight;
    uint256 internal currentEpochDiff;
    uint256 internal prevEpochDiff;

    /// Height and _periodStart, the digest of the first header of the period, are
    /// believed.
    constructor(bytes memory _genesisHeader, uint256 _height, bytes32 _periodStart) {
        require(_genesisHeader.length == BitcoinHeaders.SIZE, "Bad genesis block");
        bytes32 digest = _genesisHeader.digest();
        relayGenesis = digest;
        bestKnownDigest = digest;
        lastReorgCommonAncestor = digest;
        blockHeight[digest] = _height;
        blockHeight[_periodStart] = _height - _height % BitcoinHeaders.EPOCH;
        currentEpochDiff = BitcoinHeaders.difficulty(_genesisHeader.target());
    }

    function getRelayGenesis() external view returns (bytes32) {
        return relayGenesis;
    }

    function getBestKnownDigest() external view returns (bytes32) {
        return bestKnownDigest;
    }

    function getLastReorgCommonAncestor() external view returns (bytes32) {
        return lastReorgCommonAncestor;
    }

    function getCurrentEpochDifficulty() external view returns (uint256) {
        return currentEpochDiff;
    }

    function getPrevEpochDifficulty() external view returns (uint256) {
        return prevEpochDiff;
    }

    function findHeight(bytes32 _digest) external view returns (uint256) {
        return heightOf(_digest);
    }

    function findAncestor(bytes32 _digest, uint256 _offset) external view returns (bytes32) {
        bytes32 digest = _digest;
        for (uint256 i = 0; i < _offset; i++) {
            digest = previousBlock[digest];
        }
        require(digest != bytes32(0), "Unknown ancestor");
        return digest;
    }

    /// Whether _ancestor is _descendant, or less than _limit below it.
    function isAncestor(bytes32 _ancestor, bytes32 _descendant, uint256 _limit) external view returns (bool) {
        return isAbove(_ancestor, _descendant, _limit);
    }

    /// Stores headers that follow the header _anchor, which the relay knows, and have
    /// its target.
    function addHeaders(bytes memory _anchor, bytes memory _headers) external returns (bool) {
        require(_headers.length % BitcoinHeaders.SIZE == 0, "Header array length must be divisible by 80");
        require(_anchor.length == BitcoinHeaders.SIZE, "Anchor must be 80 bytes");
        return store(_anchor, _headers, false);
    }

    /// Stores headers that follow the last header of a period, which the relay knows,
    /// as it does the first.
    function addHeadersWithRetarget(
        bytes memory _oldPeriodStartHeader,
        bytes memory _oldPeriodEndHeader,
        bytes memory _headers
    ) external returns (bool) {
        require(
            _oldPeriodStartHeader.length == BitcoinHeaders.SIZE && _oldPeriodEndHeader.length == BitcoinHeaders.SIZE
                && _headers.length % BitcoinHeaders.SIZE == 0,
            "Bad args. Check header and array byte lengths."
        );
        uint256 startHeight = heightOf(_oldPeriodStartHeader.digest());
        uint256 endHeight = heightOf(_oldPeriodEndHeader.digest());
        require(
            endHeight % BitcoinHeaders.EPOCH == BitcoinHeaders.EPOCH - 1,
            "Must provide the last header of the closing difficulty period"
        );
        require(endHeight == startHeight + BitcoinHeaders.EPOCH - 1, "Must provide exactly 1 difficulty period");
        uint256 oldDiff = checkRetarget(_oldPeriodStartHeader, _oldPeriodEndHeader, _headers);

        // A period in the deep past does not count.
        if (prevEpochDiff != oldDiff && endHeight > heightOf(bestKnownDigest) - BitcoinHeaders.EPOCH) {
            prevEpochDiff = oldDiff;
        }
        return store(_oldPeriodEndHeader, _headers, true);
    }

    /// Makes _newBest the best header, which the relay knows, and which has more work
    /// than _currentBest, the best so far. _ancestor is the last header that both have
    /// below them, or are, and at most _limit below either.
    function markNewHeaviest(bytes32 _ancestor, bytes memory _currentBest, bytes memory _newBest, uint256 _limit)
        external
        returns (bool)
    {
        require(
            _newBest.length == BitcoinHeaders.SIZE && _currentBest.length == BitcoinHeaders.SIZE,
            "Bad args. Check header and array byte lengths."
        );
        require(_limit <= BitcoinHeaders.EPOCH, "Requested limit is greater than 1 difficulty period");
        bytes32 newDigest = _newBest.digest();
        bytes32 currentDigest = _currentBest.digest();
        require(currentDigest == bestKnownDigest, "Passed in best is not best known");
        require(previousBlock[newDigest] != bytes32(0), "New best is unknown");
        require(
            isMostRecentAncestor(_ancestor, bestKnownDigest, newDigest, _limit),
            "Ancestor must be heaviest common ancestor"
        );
        require(
            heaviest(_ancestor, _currentBest, _newBest) == newDigest,
            "New best hash does not have more work than previous"
        );

        bestKnownDigest = newDigest;
        lastReorgCommonAncestor = _ancestor;
        uint256 newDiff = BitcoinHeaders.difficulty(_newBest.target());
        if (newDiff != currentEpochDiff) currentEpochDiff = newDiff;
        emit NewTip(currentDigest, newDigest, _ancestor);
        return true;
    }

    /// Reverts unless the target of the header next may follow a period with these first
    /// and last headers, and returns that period's difficulty.
    function checkRetarget(bytes memory first, bytes memory last, bytes memory next)
        private
        pure
        returns (uint256 oldDiff)
    {
        uint256 oldTarget = first.target();
        oldDiff = BitcoinHeaders.difficulty(oldTarget);
        require(oldDiff == BitcoinHeaders.difficulty(last.target()), "Period header difficulties do not match");
        uint256 newTarget = next.headerAt(0).target();
        uint256 expected = BitcoinHeaders.retarget(oldTarget, first.time(), last.time());
        require(BitcoinHeaders.isTruncated(newTarget, expected), "Invalid retarget provided");
    }

    /// What both ways of adding headers have in common.
    function store(bytes memory anchor, bytes memory headers, bool retargets) private returns (bool) {
        bytes32 first = anchor.digest();
        uint256 height = heightOf(first);
        uint256 target = headers.headerAt(0).target();
        require(retargets || anchor.target() == target, "Unexpected retarget on external call");

        bytes32 last = first;
        for (uint256 offset = 0; offset < headers.length; offset += BitcoinHeaders.SIZE) {
            bytes memory header = headers.headerAt(offset);
            bytes32 digest = header.digest();
            height++;
            // Those that are stored have shown their work.
            if (previousBlock[digest] == bytes32(0)) {
                require(digest.work() <= target, "Header work is insufficient");
                previousBlock[digest] = last;
                if (height % HEIGHT_INTERVAL == 0) blockHeight[digest] = height;
            }
            require(header.target() == target, "Target changed unexpectedly");
            require(header.previous() == last, "Headers do not form a consistent chain");
            last = digest;
        }
        emit Extension(first, last);
        return true;
    }

    function heightOf(bytes32 digest) internal view returns (uint256) {
        for (uint256 below = 0; below <= HEIGHT_INTERVAL; below++) {
            uint256 height = blockHeight[digest];
            if (height != 0) return height + below;
            digest = previousBlock[digest];
        }
        revert("Unknown block");
    }

    function isAbove(bytes32 ancestor, bytes32 digest, uint256 limit) internal view returns (bool) {
        for (uint256 i = 0; i < limit; i++) {
            if (digest == ancestor) return true;
            digest = previousBlock[digest];
        }
        return false;
    }

    /// Walks down from both tips at once, limit steps each, and waits with one at the
    /// ancestor. If the last steps were from the same header, that is a nearer one.
    function isMostRecentAncestor(bytes32 ancestor, bytes32 left, bytes32 right, uint256 limit)
        private
        view
        returns (bool)
    {
        if (ancestor == left && ancestor == right) return true;
        bytes32 belowLeft = left;
        bytes32 belowRight = right;
        for (uint256 i = 0; i < limit; i++) {
            if (belowLeft != ancestor) {
                left = belowLeft;
                belowLeft = previousBlock[left];
            }
            if (belowRight != ancestor) {
                right = belowRight;
                belowRight = previousBlock[right];
            }
        }
        return left != right && belowLeft == belowRight;
    }

    /// The digest of the one of two headers that has more work above the ancestor, left
    /// if both have as much. Where one alone is in a later period than the ancestor it
    /// wins, where both are what they have of it counts.
    function heaviest(bytes32 ancestor, bytes memory left, bytes memory right) private view returns (bytes32) {
        uint256 ancestorHeight = heightOf(ancestor);
        bytes32 leftDigest = left.digest();
        bytes32 rightDigest = right.digest();
        uint256 leftHeight = heightOf(leftDigest);
        uint256 rightHeight = heightOf(rightDigest);
        require(
            leftHeight >= ancestorHeight && rightHeight >= ancestorHeight,
            "A descendant height is below the ancestor height"
        );

        uint256 nextPeriod = ancestorHeight + BitcoinHeaders.EPOCH - ancestorHeight % BitcoinHeaders.EPOCH;
        bool leftInPeriod = leftHeight < nextPeriod;
        if (leftInPeriod != rightHeight < nextPeriod) return leftInPeriod ? rightDigest : leftDigest;
        if (leftInPeriod) return leftHeight >= rightHeight ? leftDigest : rightDigest;
        return periodWork(left, leftHeight) < periodWork(right, rightHeight) ? rightDigest : leftDigest;
    }

    /// The work of a header and of those below it in its period, but for the first.
    function periodWork(bytes memory header, uint256 height) private pure returns (uint256) {
        return height % BitcoinHeaders.EPOCH * BitcoinHeaders.difficulty(header.target());
    }
}
