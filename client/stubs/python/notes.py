"""Outrigger from a plain generated stub: nothing but grpcio. How to run it: ../README.md."""

import collections
import sys

import grpc

from outrigger.v1 import outrigger_pb2 as pb
from outrigger.v1 import outrigger_pb2_grpc as rpc


NAME = "outrigger-token-bin"
DETAILS = "method timeout metadata credentials wait_for_ready compression"


class Session(grpc.UnaryUnaryClientInterceptor):
    """Calls made one after the other read what they wrote, and never an older state, on whatever node."""

    Details = type("Details", (collections.namedtuple("Details", DETAILS), grpc.ClientCallDetails), {})

    def __init__(self):
        self.token = b""

    def intercept_unary_unary(self, continuation, details, request):
        fields = {name: getattr(details, name, None) for name in DETAILS.split()}
        fields["metadata"] = [*(details.metadata or ()), (NAME, self.token)]
        call = continuation(self.Details(**fields), request)
        self.token = dict(call.initial_metadata() or ()).get(NAME, self.token)
        return call


def main(address):
    channel = grpc.insecure_channel(address)

    # With an interceptor nobody has to think of tokens.
    notes = rpc.StoreStub(grpc.intercept_channel(channel, Session()))
    for number in range(100):
        notes.Put(pb.PutRequest(key=b"count", value=b"%d" % number), timeout=5)
        found = notes.Get(pb.GetRequest(key=b"count"), timeout=5).found
        assert found.value == b"%d" % number, found
    print("count:", found.value.decode())

    # Without one, each token is passed on by hand.
    store = rpc.StoreStub(channel)

    # A write is answered when the log has it, which is before this node has read it back. Its token says what a read
    # must include, on this node or any other.
    written = store.Put(pb.PutRequest(key=b"greeting", value=b"hello"), timeout=5)
    read = pb.ReadOptions(level=pb.LEVEL_AT_LEAST, token=written.token)
    answer = store.Get(pb.GetRequest(key=b"greeting", read=read), timeout=5)
    print("greeting:", answer.found.value.decode())

    # The copy's token goes further than the write's: a session keeps the newest that it has.
    token = answer.copy.token

    # Many writes on one stream. Its last token includes all of them.
    for response in store.Write(batches(1_000)):
        for reply in response.replies:
            if reply.HasField("error"):
                print("not written:", pb.Reason.Name(reply.error.reason), reply.error.message)
        token = response.token

    read = pb.ReadOptions(level=pb.LEVEL_AT_LEAST, token=token)
    request = pb.ScanRequest(prefix=b"row/", read=read)
    print("rows:", sum(len(response.rows) for response in store.Scan(request)))

    # Whatever fails says why, and whether a write may have happened all the same. No metadata: it may have.
    try:
        store.Put(pb.PutRequest(key=b"large", value=bytes(1 << 20)), timeout=5)
    except grpc.RpcError as error:
        plain = dict(error.trailing_metadata() or ())
        reason = plain.get("outrigger-reason", error.code().name)
        maybe = plain.get("outrigger-may-have-happened", "true")
        print(f"{reason}: {error.details()} (may have happened: {maybe})")


def batches(count, size=250):
    for start in range(0, count, size):
        items = [
            pb.WriteItem(key=b"row/%05d" % number, put=b"value")
            for number in range(start, min(start + size, count))
        ]
        yield pb.WriteRequest(items=items)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:7400")
