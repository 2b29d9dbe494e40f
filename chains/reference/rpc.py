"""From a JSON-RPC request to an answer: the methods by name, parameters by Python signature, errors with Core's codes.

Pure but for awaiting what a method awaits (a longpoll); HTTP is in server.py.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from chains.reference import chain_rpc, control_rpc, history_rpc, message_rpc, sending_rpc, signing_rpc, wallet_rpc
from chains.reference.errors import INVALID_REQUEST, METHOD_NOT_FOUND, MISC, RpcError
from chains.reference.node import ReferenceNode

Method = Callable[..., Any]

COMMON: dict[str, Method] = {
    function.__name__: function
    for function in (
        chain_rpc.getblockchaininfo,
        chain_rpc.getnetworkinfo,
        chain_rpc.getmininginfo,
        chain_rpc.getbestblockhash,
        chain_rpc.getblockcount,
        chain_rpc.getblockhash,
        chain_rpc.getblockheader,
        chain_rpc.getblock,
        chain_rpc.getrawtransaction,
        chain_rpc.getmempoolinfo,
        chain_rpc.getrawmempool,
        chain_rpc.getchaintips,
        chain_rpc.validateaddress,
        chain_rpc.getpeerinfo,
        chain_rpc.getconnectioncount,
        wallet_rpc.getnewaddress,
        wallet_rpc.getbalances,
        wallet_rpc.getbalance,
        wallet_rpc.listunspent,
        wallet_rpc.sendtoaddress,
        wallet_rpc.sendmany,
        wallet_rpc.getrawchangeaddress,
        wallet_rpc.getaddressinfo,
        wallet_rpc.getwalletinfo,
        history_rpc.gettransaction,
        history_rpc.listsinceblock,
        signing_rpc.converttopsbt,
        signing_rpc.walletprocesspsbt,
        signing_rpc.finalizepsbt,
        signing_rpc.signrawtransactionwithwallet,
        signing_rpc.signrawtransaction,
        message_rpc.signmessage,
        message_rpc.verifymessage,
        sending_rpc.sendrawtransaction,
        sending_rpc.testmempoolaccept,
        sending_rpc.gettxout,
        sending_rpc.estimatesmartfee,
        sending_rpc.estimatefee,
        control_rpc.generatetoaddress,
        control_rpc.generateblock,
        control_rpc.invalidateblock,
        control_rpc.reconsiderblock,
        control_rpc.devnet_advance,
        control_rpc.devnet_reorganise,
        control_rpc.devnet_refuse_next,
        control_rpc.devnet_set,
        control_rpc.devnet_clear,
        control_rpc.devnet_info,
    )
} | {"devnet_invalidate": control_rpc.invalidateblock, "devnet_reconsider": control_rpc.reconsiderblock}

# What a wallet and a mempool of Core 0.14 have not yet, and what only they still have.
NOT_YET = frozenset(
    {
        "converttopsbt",
        "walletprocesspsbt",
        "finalizepsbt",
        "signrawtransactionwithwallet",
        "testmempoolaccept",
        "getaddressinfo",
    }
)
NO_MORE = frozenset({"signrawtransaction", "estimatefee"})


class Dispatcher:
    """Answers requests for one node; `methods` are the kind's own, already bound to it."""

    def __init__(self, node: ReferenceNode, methods: Mapping[str, Method]) -> None:
        self._node = node
        self._methods = dict(methods)

    async def answer(self, request: object) -> Any:
        """The result of one request object. Raises RpcError."""
        name, params = read_request(request)
        method = self._methods.get(name)
        absent = NOT_YET if self._node.rules.old_wallet else NO_MORE
        bound = None if name in absent else COMMON.get(name)
        arguments: list[Any] = []
        if method is None and bound is not None:
            method, arguments = bound, [self._node]
        if method is None:
            raise RpcError(METHOD_NOT_FOUND, "Method not found")
        signature = inspect.signature(method)
        try:
            if isinstance(params, dict):
                call = signature.bind(*arguments, **params)
            else:
                call = signature.bind(*arguments, *params)
        except TypeError as error:
            names = list(signature.parameters)[len(arguments) :]
            raise RpcError(MISC, " ".join([name, *names])) from error
        result = method(*call.args, **call.kwargs)
        return await result if inspect.isawaitable(result) else result


def read_request(request: object) -> tuple[str, list[Any] | dict[str, Any]]:
    """Method name and parameters of a request object. Raises RpcError as Core does."""
    if not isinstance(request, dict):
        raise RpcError(INVALID_REQUEST, "Invalid Request object")
    if "method" not in request:
        raise RpcError(INVALID_REQUEST, "Missing method")
    name = request["method"]
    if not isinstance(name, str):
        raise RpcError(INVALID_REQUEST, "Method must be a string")
    params = request.get("params")
    if params is None:
        params = []
    if not isinstance(params, (list, dict)):
        raise RpcError(INVALID_REQUEST, "Params must be an array or object")
    return name, params
