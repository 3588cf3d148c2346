"""What Net-SNMP's agent asks for the objects of a PDU (snmpd.conf(5), pass_persist).

Reads them anew from the file that it is given, at each question: a line each, OID|type|value.
"""

import sys


def objects(path):
    with open(path, encoding="utf-8") as lines:
        split = (line.strip().split("|") for line in lines if "|" in line)
        return {oid: (kind, value) for oid, kind, value in split}


def main(path):
    ask = iter(sys.stdin.readline, "")
    for word in ask:
        if word.strip() == "PING":
            print("PONG", flush=True)
            continue
        oid = next(ask).strip()
        found = objects(path).get(oid.lstrip("."))
        if word.strip() != "get" or found is None:
            print("NONE", flush=True)
            continue
        print(oid, *found, sep="\n", flush=True)


main(sys.argv[1])
