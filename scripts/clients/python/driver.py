"""Works on three nodes through the Python package `consul` that is installed here: all steps before the
leader is lost, while it is gone, and when it is back. See run.py for what is said and asked."""

import sys
import traceback

import common
import locks
import loss
import steps

ALL = {
    "status": steps.status, "agent members": steps.agent_members, "agent self": steps.agent_self,
    "kv": steps.kv, "names": steps.names, "unchanged": steps.unchanged, "limits": steps.limits,
    "cas": steps.cas, "recurse": steps.recurse, "keys": steps.keys, "delete": steps.delete,
    "blocking key": steps.blocking_key, "blocking missing key": steps.blocking_missing_key,
    "blocking prefix": steps.blocking_prefix, "watch": steps.watch, "sessions": locks.sessions,
    "locks": locks.locks, "session ends": locks.session_ends, "txn": locks.txn,
    "txn refused": locks.txn_refused, "consistency": steps.consistency, "errors": steps.errors,
}


class Report:
    """Says what passed and what did not, and goes on."""

    def __init__(self):
        self.failed = False

    def step(self, name, run):
        try:
            run()
        except Exception as error:  # whatever it is, it is a failure of this step alone
            self.failed = True
            words = " ".join(str(error).split())[:600]
            print(f"FAIL {name}: {type(error).__name__}: {words}", flush=True)
            traceback.print_exc(file=sys.stderr)
        else:
            print(f"PASS {name}", flush=True)

    def phase(self, phase, nodes):
        for name, run in ALL.items():
            self.step(f"{phase}: {name}", lambda: run(nodes, f"{phase}/"))


def main():
    report, nodes = Report(), common.nodes()
    report.phase("before", nodes)
    tell = lambda name, run: report.step(f"loss: {name}", run)
    loss.Loss(nodes, tell, lambda left: report.phase("during", left)).run()
    report.phase("after", nodes)
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
