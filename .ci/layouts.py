"""Lays out copies of the outside fixtures in the form that the outside checks can walk whole.
usage: layouts.py SHARED OUT

Three of the scripts stop at entries that they do not expect: tensors that have bytes but no values
(quants: `exact.bytes` is for writers), a model folder without tokenizer truth, and tokenizers that
are kept gzipped. In the copies these are left out or unpacked; all else is linked as it is."""
import gzip, json, os, shutil, struct, sys

shared, out = sys.argv[1:3]
fixtures = os.path.realpath(os.path.join(shared, "fixtures"))


def link(src, dst):
    os.makedirs(os.path.dirname(dst), exist_ok=True)
    os.symlink(src, dst)


def models():
    src = os.path.join(fixtures, "models")
    for name in os.listdir(src):
        expect = os.path.join(src, name, "expect.json")
        if os.path.exists(expect) and "tokenizer" in json.load(open(expect)):
            link(os.path.join(src, name), os.path.join(out, "models", name))


def tokens():
    src, dst = os.path.join(fixtures, "tokens"), os.path.join(out, "tokens")
    for top, _, files in os.walk(src):
        for f in files:
            a = os.path.join(top, f)
            b = os.path.join(dst, os.path.relpath(a, src))
            if os.path.basename(top) == "models" or os.path.dirname(os.path.relpath(a, src)) == "" or not f.endswith(".gz"):
                link(a, b)
            else:
                os.makedirs(os.path.dirname(b), exist_ok=True)
                with gzip.open(a) as r, open(b[:-3], "wb") as w:
                    shutil.copyfileobj(r, w)


def quants():
    src, dst = os.path.join(fixtures, "quants"), os.path.join(out, "quants")
    os.makedirs(dst)
    for f in os.listdir(src):
        if not f.endswith(".safetensors"):
            link(os.path.join(src, f), os.path.join(dst, f))
            continue
        raw = open(os.path.join(src, f), "rb").read()
        n = struct.unpack("<Q", raw[:8])[0]
        head, data = json.loads(raw[8:8 + n]), raw[8 + n:]
        keep = {k: v for k, v in head.items() if not k.endswith(".bytes") or k[:-6] + ".f32" in head}
        text = json.dumps(keep).encode()
        text += b" " * (-len(text) % 8)
        with open(os.path.join(dst, f), "wb") as w:
            w.write(struct.pack("<Q", len(text)) + text + data)


models()
tokens()
quants()
