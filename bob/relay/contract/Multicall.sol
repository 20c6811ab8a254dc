// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// Does several calls in one transaction, for anybody. It has one function of the
/// Multicall3 that is on most chains, BOB among them, and was written from its
/// interface.
contract Multicall {
    struct Call3 {
        address target;
        bool allowFailure;
        bytes callData;
    }

    struct Result {
        bool success;
        bytes returnData;
    }

    /// Does the calls in order, and reverts if one fails that must not.
    function aggregate3(Call3[] calldata calls) external payable returns (Result[] memory results) {
        results = new Result[](calls.length);
        for (uint256 i = 0; i < calls.length; i++) {
            (results[i].success, results[i].returnData) = calls[i].target.call(calls[i].callData);
            require(results[i].success || calls[i].allowFailure, "Multicall3: call failed");
        }
    }
}
