"""What changes in a store, from a plain generated stub: nothing but grpcio. How to run it: ../README.md."""

import sys
import time

import grpc

from outrigger.v1 import outrigger_pb2 as pb
from outrigger.v1 import outrigger_pb2_grpc as rpc


def follow(store, prefix, rows):
    """Keeps `rows` what the store has below `prefix`, whatever happens to the node; yields each time it is whole."""
    point = None
    while True:
        if point is None:
            # The state comes: what is not in it does not exist any more.
            rows.clear()
        request = pb.WatchRequest(keys=[pb.KeySelector(prefix=prefix)], point=point)
        try:
            for response in store.Watch(request):
                part = response.WhichOneof("part")
                if part == "rows":
                    rows.update((row.key, row.value) for row in response.rows.rows)
                elif part == "changes":
                    for change in response.changes.changes:
                        if change.WhichOneof("what") == "put":
                            rows[change.key] = change.put
                        else:
                            rows.pop(change.key, None)
                elif part == "again":
                    # Nobody can prove that nothing is missing since the point.
                    rows.clear()
                    point = None
                # All that came before it. Changes without one are followed by more of the same.
                told = getattr(response, part)
                if part != "started" and hasattr(told, "point") and told.HasField("point"):
                    point = told.point
                    yield point
        except grpc.RpcError as error:
            print("again in a second:", error.details(), file=sys.stderr)
            time.sleep(1)


def main(address, prefix):
    store = rpc.StoreStub(grpc.insecure_channel(address))
    rows, before = {}, {}
    for _ in follow(store, prefix.encode(), rows):
        for key in rows.keys() - before.keys():
            print("new:", key.decode(), rows[key].decode())
        for key in before.keys() - rows.keys():
            print("gone:", key.decode())
        for key in rows.keys() & before.keys():
            if rows[key] != before[key]:
                print("now:", key.decode(), rows[key].decode())
        before = dict(rows)
        sys.stdout.flush()


if __name__ == "__main__":
    main(*(sys.argv[1:] + ["127.0.0.1:7400", ""][len(sys.argv) - 1 :]))
