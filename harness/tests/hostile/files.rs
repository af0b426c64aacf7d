//! Files that are right, and files that lie, are damaged or ask for too much.

use crate::build::*;
use crate::saved::{maps, models, stacks};

/// A file, and the fuzz target that reads such.
pub(crate) struct File {
    pub(crate) target: &'static str,
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// What the refusal has to say.
    pub(crate) told: &'static str,
}

/// A file; `told` is empty where it is right.
pub(crate) fn file(target: &'static str, name: &'static str, bytes: impl Into<Vec<u8>>, told: &'static str) -> File {
    File { target, name, bytes: bytes.into(), told }
}

/// A right file of every format and kind.
pub(crate) fn right() -> Vec<File> {
    let ok = |target, name, bytes: Vec<u8>| file(target, name, bytes, "");
    let four = f32s(&[1.0, 2.0, 3.0, -0.0]);
    let x = npy("<f4", false, "(2, 2)", &four);
    let numbers = |bytes: &[u8]| idx(8, &[2, 3], bytes);
    let interlaced = {
        let mut header = ihdr(1, 1, 8, 0);
        header[20] = 1;
        let crc = chunk(b"IHDR", &header[8..21]);
        png(&[crc, idat(&[0, 7]), chunk(b"IEND", &[])])
    };
    vec![
        ok("idx", "bytes.idx", numbers(&[1, 2, 3, 4, 5, 6])),
        ok("idx", "image.idx", idx(8, &[1, 2, 2], &[1, 2, 3, 4])),
        ok("idx", "floats.idx", idx(0x0D, &[1, 2], &[1.5f32, -0.0].map(f32::to_be_bytes).concat())),
        ok("idx", "doubles.idx", idx(0x0E, &[2, 1], &[0.1f64, -1e30].map(f64::to_be_bytes).concat())),
        ok("idx", "shorts.idx", idx(0x0B, &[1, 2], &[0xFF, 0xFE, 1, 0])),
        ok("gzip", "bytes.idx.gz", gzip(&numbers(&[0; 6]))),
        ok("gzip", "two.idx.gz", [gzip(&numbers(&[0; 6])[..8]), gzip(&numbers(&[0; 6])[8..])].concat()),
        ok("npy", "floats.npy", x.clone()),
        ok("npy", "fortran.npy", npy("<f8", true, "(2, 3)", &[0.5f64; 6].map(f64::to_le_bytes).concat())),
        ok("npy", "big.npy", npy(">i2", false, "(1, 2)", &[1, 0, 0xFF, 0])),
        ok("npy", "half.npy", npy("<f2", false, "(1, 2)", &[0, 0x3C, 0, 0xC0])),
        ok("npy", "bool.npy", npy("|b1", false, "(2, 1)", &[0, 1])),
        ok("npy", "cube.npy", npy("|u1", false, "(2, 2, 2)", &[1, 2, 3, 4, 5, 6, 7, 8])),
        ok("npz", "stored.npz", npz(&[("X.npy", &x), ("y.npy", &npy("|u1", false, "(2,)", &[7, 8]))], false)),
        ok("npz", "deflated.npz", npz(&[("names.npy", &npy("|O", false, "(1, 1)", &[0])), ("a.npy", &x)], true)),
        ok("csv", "plain.csv", b"1,2\n3,4.5\n".to_vec()),
        ok("csv", "header.csv", b"\xEF\xBB\xBFa,\"label\",b\r\n1,7,-2e-3\r\n\r\n3,8, 4 \r\n".to_vec()),
        ok(
            "safetensors",
            "one.safetensors",
            safetensors(&format!("{{{}}}", tensor("a", "F32", "[2,2]", 0, 16)), &four),
        ),
        ok("safetensors", "labels.safetensors", {
            let both = [tensor("a", "U8", "[2,1]", 0, 2), tensor("y", "I32", "[2]", 2, 10)].join(",");
            safetensors(&format!(r#"{{"__metadata__":{{"format":"pt"}},{both}}}"#), &[1, 2, 3, 0, 0, 0, 4, 0, 0, 0])
        }),
        ok("png", "grey.png", small_png()),
        ok("png", "rgb16.png", png(&[ihdr(1, 1, 16, 2), idat(&[0, 1, 2, 3, 4, 5, 6]), chunk(b"IEND", &[])])),
        ok("png", "palette.png", {
            let palette = chunk(b"PLTE", &[1, 2, 3, 200, 100, 0]);
            png(&[ihdr(4, 1, 1, 3), palette, chunk(b"tRNS", &[0]), idat(&[0, 0b0101_0000]), chunk(b"IEND", &[])])
        }),
        ok("png", "interlaced.png", interlaced),
        ok("png", "more.png", [small_png(), b"more".to_vec()].concat()),
        ok("jpeg", "grey.jpg", jpeg(0xC0, 8, 8)),
        ok("jpeg", "odd.jpg", jpeg(0xC1, 7, 5)),
        ok("config", "empty.toml", b"".to_vec()),
        ok(
            "config",
            "some.toml",
            b"seed = 3\n[model]\nd_hid = 7 # few\n[optimizer]\nkind = \"sgd\"\nlr = 1e-2\n".to_vec(),
        ),
        ok("config", "dotted.toml", b"model.d_hid = 7\ntrain = { batch = 3, shuffle = false }\n".to_vec()),
        ok("model", "model", model(CFG, &weights())),
        ok("model", "scaled", {
            let cfg = CFG.replace(r#""kind": "none""#, r#""kind": "minmax", "min": [0.0, 1.0], "max": [0.5, 1.0]"#);
            model(&cfg.replace("\"image\": null", "\"image\": [1, 2]"), &weights())
        }),
        ok("preprocess", "pca", model(WHITENING, &vectors())),
        ok("preprocess", "zca", model(&WHITENING.replace("pca", "zca"), &vectors())),
        ok("preprocess", "minmax", model(r#"{ "kind": "minmax", "min": [0.0, 1.0], "max": [0.5, 1.0] }"#, &[])),
        ok("preprocess", "patches", model(r#"{ "kind": "patches", "side": 1, "whiten": false, "limit": 0.5 }"#, &[])),
        ok("stack", "stack", model(STACK, &stack_weights())),
        ok("stack", "layers", {
            let weights = safetensors(&format!("{{{}}}", layer("layers.0", 2, 1)), &f32s(&[1.0, -1.0, 0.0]));
            let layer = r#""layers": [{ "d_hid": 1, "activation": "identity" }], "labels": null, "image": [1, 2]"#;
            let map = r#""preprocessing": { "kind": "zscore", "mean": [0.0, 1.0], "std": [0.5, 1.0] }"#;
            model(&format!(r#"{{ "format_version": 1, "d_in": 2, {layer}, {map} }}"#), &weights)
        }),
    ]
}

/// Files that have to be refused.
pub(crate) fn hostile() -> Vec<File> {
    let lists = [arrays(), archives(), tables(), tensors(), images(), settings(), models(), maps(), stacks()];
    lists.into_iter().flatten().collect()
}

fn arrays() -> Vec<File> {
    let six = [1, 2, 3, 4, 5, 6];
    let good = idx(8, &[2, 3], &six);
    let packed = gzip(&good);
    let text = |text: &str| npy_of(text, &f32s(&[0.0; 4]));
    let shape = |shape: &str| npy("<f4", false, shape, &f32s(&[0.0; 4]));
    let descr = |descr: &str| npy(descr, false, "(2, 2)", &[0; 16]);
    let one = |value: f64| npy("<f8", false, "(1, 2)", &[0.0, value].map(f64::to_le_bytes).concat());
    let crc = packed.len() - 5;
    vec![
        file("idx", "rows.idx", idx(8, &[u32::MAX, 3], &six), "claims a file of"),
        file("idx", "product.idx", idx(8, &[u32::MAX; 3], &six), "claims a file of"),
        file("idx", "dims.idx", idx(8, &[u32::MAX; 255], &[]), "claims a file of"),
        file("idx", "ones.idx", idx(8, &[1; 255], &[1]).split_off(4), "not recognised"),
        file("idx", "norows.idx", idx(8, &[0, 3], &[]), "its shape is [0, 3]"),
        file("idx", "nocols.idx", idx(8, &[3, 0], &[]), "its shape is [3, 0]"),
        file("idx", "rank0.idx", idx(8, &[], &[1]), "two dimensions"),
        file("idx", "labels.idx", idx(8, &[3], &[1, 2, 3]), "two dimensions"),
        file("idx", "type.idx", idx(0x0A, &[2, 3], &six), "element type is 0a"),
        file("idx", "cut.idx", &good[..good.len() - 1], "claims a file of 18 bytes, and it has 17"),
        file("idx", "header.idx", &good[..9], "ends inside the header"),
        file("idx", "magic.idx", &good[..3], "not recognised"),
        file("idx", "surplus.idx", [&good[..], &[0]].concat(), "claims a file of 18 bytes, and it has 19"),
        file("idx", "nan.idx", idx(0x0D, &[1, 1], &f32::NAN.to_be_bytes()), "row 0, column 0"),
        file(
            "idx",
            "infinite.idx",
            idx(0x0E, &[1, 2], &[1.0, f64::INFINITY].map(f64::to_be_bytes).concat()),
            "column 1",
        ),
        file("idx", "overflow.idx", idx(0x0E, &[1, 1], &1e39f64.to_be_bytes()), "is inf as f32"),
        file("idx", "empty.idx", b"", "the file is empty"),
        file("gzip", "bomb.idx.gz", gzip(&idx(8, &[2, 3], &vec![0; 32 << 20])), "bytes behind the 6"),
        file("gzip", "honest-bomb.idx.gz", gzip(&idx(8, &[1 << 14, 6 << 10], &vec![0; 96 << 20])), "would become"),
        file("gzip", "liar.idx.gz", gzip(&idx(8, &[u32::MAX, u32::MAX], &six)), "cannot hold them"),
        file("gzip", "cut.idx.gz", &packed[..packed.len() - 9], "cut off"),
        file("gzip", "uncounted.idx.gz", &packed[..packed.len() - 4], "cut off"),
        file("gzip", "checksum.idx.gz", [&packed[..crc], &[packed[crc] ^ 1], &packed[crc + 1..]].concat(), "damaged"),
        file("gzip", "method.idx.gz", [&[0x1F, 0x8B, 9], &packed[3..]].concat(), "damaged"),
        file("gzip", "surplus.idx.gz", [&packed[..], &[1]].concat(), "surplus.idx.gz"),
        file("gzip", "twice.idx.gz", gzip(&packed), "begins with 00 00"),
        file("gzip", "nothing.idx.gz", gzip(&[]), "ends inside the header"),
        file("gzip", "short.idx.gz", gzip(&good[..17]), "end after 5 bytes"),
        file("npy", "objects.npy", descr("|O"), "pickled Python objects"),
        file("npy", "complex.npy", descr("<c8"), "complex"),
        file("npy", "text.npy", descr("<U1"), "`<U1`"),
        file("npy", "dates.npy", descr("<M8[ns]"), "`<M8[ns]`"),
        file("npy", "nothing.npy", descr(""), "its dtype is ``"),
        file(
            "npy",
            "fields.npy",
            text("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 2)}"),
            "structured",
        ),
        file("npy", "negative.npy", shape("(-2, 2)"), "a dimension below"),
        file("npy", "rows.npy", shape("(99999999999, 2)"), "claims a file of"),
        file("npy", "product.npy", shape("(9999999999999, 9999999999999)"), "fits in memory"),
        file("npy", "digits.npy", shape(&format!("({}, 2)", "9".repeat(5000))), "a dimension below"),
        file("npy", "zero.npy", shape("(0, 2)"), "claims a file of"),
        file("npy", "empty-set.npy", npy("<f4", false, "(0, 2)", &[]), "at least one row"),
        file("npy", "scalar.npy", npy("<f4", false, "()", &[0; 4]), "two dimensions"),
        file("npy", "vector.npy", shape("(4,)"), "two dimensions"),
        file("npy", "lacks.npy", text("{'descr': '<f4', 'shape': (2, 2)}"), "lacks a key"),
        file("npy", "other.npy", text("{'descr': '<f4', 'other': 1}"), "the keys descr"),
        file("npy", "twice.npy", text("{'descr': '<f4', 'descr': '<f8', 'shape': (2, 2)}"), "key descr twice"),
        file("npy", "deep.npy", text(&format!("{{'shape': {}", "(".repeat(9000))), "the header at byte"),
        file("npy", "code.npy", text("__import__('os').system('true')"), "`{`"),
        file("npy", "open.npy", text("{'descr': '<f4"), "closing quote"),
        file("npy", "long.npy", [&b"\x93NUMPY\x02\x00\xFF\xFF\xFF\xFF"[..], &[b' '; 64]].concat(), "at most 10000"),
        file("npy", "version.npy", [&b"\x93NUMPY\x09\x00\x10\x00"[..], &[b' '; 64]].concat(), "version is 9"),
        file("npy", "cut-header.npy", &shape("(2, 2)")[..20], "ends inside the header"),
        file("npy", "cut.npy", &shape("(2, 2)")[..70], "claims a file of"),
        file("npy", "surplus.npy", [shape("(2, 2)"), vec![0]].concat(), "claims a file of"),
        file("npy", "fortran-cut.npy", npy("<f4", true, "(2, 2)", &[0; 15]), "claims a file of"),
        file("npy", "nan.npy", one(f64::NAN), "row 0, column 1"),
        file("npy", "minus-infinity.npy", one(f64::NEG_INFINITY), "row 0, column 1"),
        file("npy", "overflow.npy", one(-1e300), "is -inf as f32"),
        file("npy", "fortran-nan.npy", npy("<f4", true, "(2, 2)", &f32s(&[0., f32::NAN, 0., 0.])), "row 1, column 0"),
    ]
}

fn archives() -> Vec<File> {
    let x = npy("<f4", false, "(1, 2)", &f32s(&[1.0, 2.0]));
    let good = npz(&[("X.npy", &x)], false);
    let bomb = npy("|u1", false, "(1, 2)", &vec![0; 32 << 20]);
    let honest = npy("|u1", false, "(16384, 6144)", &vec![0; 96 << 20]);
    let end = good.len() - 22;
    let with_end = |at: usize, value: &[u8]| {
        let mut bytes = good.clone();
        bytes[end + at..end + at + value.len()].copy_from_slice(value);
        bytes
    };
    let twice = {
        // The second name becomes the first's, in its own header and in the list.
        let two = npz(&[("X.npy", &x), ("Z.npy", &x)], false);
        patched(&patched(&two, b"Z.npy", b"X.npy"), b"Z.npy", b"X.npy")
    };
    vec![
        file("npz", "nothing.npz", npz(&[], false), "no array"),
        file("npz", "text.npz", npz(&[("a.txt", b"x")], false), "no array"),
        file(
            "npz",
            "vector.npz",
            npz(&[("a.npy", &npy("<f4", false, "(1,)", &[0; 4]))], true),
            "none of its arrays (a)",
        ),
        file("npz", "objects.npz", npz(&[("X.npy", &npy("|O", false, "(1, 1)", &[0]))], false), "pickled"),
        file(
            "npz",
            "labels.npz",
            npz(&[("X.npy", &x), ("y.npy", &npy("|u1", false, "(3,)", &[0; 3]))], false),
            "shape [3]",
        ),
        file("npz", "no-npy.npz", npz(&[("X.npy", b"nothing")], false), "ends inside the header"),
        file("npz", "bomb.npz", npz(&[("X.npy", &bomb)], true), "claims a file of"),
        file("npz", "honest-bomb.npz", npz(&[("X.npy", &honest)], true), "would become"),
        file("npz", "twice.npz", twice, "a name for each entry"),
        file("npz", "many.npz", with_end(8, &[0xFF, 0xFE, 0xFF, 0xFE]), "claims 65279 entries"),
        file("npz", "zip64.npz", with_end(8, &[0xFF; 4]), "claims 65535 entries"),
        file("npz", "none.npz", with_end(8, &[0; 4]), "none.npz"),
        file("npz", "directory.npz", with_end(16, &[0xFF, 0xFF, 0xFF, 0x7F]), "directory.npz"),
        file("npz", "cut.npz", &good[..end], "cut.npz"),
        file("npz", "begin.npz", &good[..30], "begin.npz"),
        file("npz", "checksum.npz", patched(&good, &f32s(&[1.0, 2.0]), &f32s(&[1.0, 4.0])), "damaged"),
        file("npz", "method.npz", patched(&good, b"PK\x01\x02", b"PK\x01\x03"), "method.npz"),
        file("npz", "magic.npz", b"PK\x03\x04", "magic.npz"),
        file("npz", "text-named.npz", b"hello", "text-named.npz"),
    ]
}

fn tables() -> Vec<File> {
    vec![
        file("csv", "words.csv", "1,2\n3,four\n", "line 2, column 2 is `four`"),
        file("csv", "uneven.csv", "1,2\n3\n", "line 2 has 1 column,"),
        file("csv", "longer.csv", "1,2\n3,4,5,6\n", "line 2 has 3 columns or more"),
        file("csv", "blank.csv", "\n\r\n", "0 rows"),
        file("csv", "names.csv", "a,b\n", "0 rows"),
        file("csv", "nan.csv", "1,nan\n", "line 1, column 2 is `nan`"),
        file("csv", "infinite.csv", "1\n-inf\n", "line 2, column 1 is `-inf`"),
        file("csv", "overflow.csv", "1\n1e40\n", "finite"),
        file("csv", "labels.csv", "label,x,Label\n1,2,3\n", "2 columns are called label"),
        file("csv", "half-label.csv", "label,x\n1.5,2\n", "the label"),
        file("csv", "only-label.csv", "label\n1\n", "1 row of 0 columns"),
        file("csv", "quote.csv", format!("1,\"{}", "2\n,".repeat(5000)), "more than 4096 bytes"),
        file("csv", "field.csv", "9".repeat(100_000), "more than 4096 bytes"),
        file("csv", "bytes.csv", b"1,\xFF\xFE\n".to_vec(), "line 1, column 2"),
        file("csv", "utf-16.csv", b"\xFF\xFE1\0,\x002\0\n\0".to_vec(), "line 1, column 1 is no UTF-8"),
        file("csv", "semicolons.csv", "a;b\n1;2\n", "commas between the columns"),
        file("csv", "zeros.csv", vec![0; 1000], "zeros.csv"),
        file("csv", "control.csv", "1\n\x1b[2J\n", "\\u{1b}[2J"),
        file("csv", "empty.csv", "", "the file is empty"),
    ]
}

fn tensors() -> Vec<File> {
    let one = |dtype: &str, shape: &str, to: u64| format!("{{{}}}", tensor("a", dtype, shape, 0, to));
    let of = |header: &str| safetensors(header, &[0; 8]);
    let good = of(&one("F32", "[1,2]", 8));
    vec![
        file("safetensors", "length.safetensors", u64::MAX.to_le_bytes(), "at most the 0 bytes that follow it"),
        file(
            "safetensors",
            "long.safetensors",
            [&(5u64 << 20).to_le_bytes()[..], &vec![b' '; 5 << 20]].concat(),
            "at most 4194304",
        ),
        file("safetensors", "short.safetensors", &good[..5], "at least 8"),
        file("safetensors", "cut.safetensors", &good[..good.len() - 1], "7 follow the header"),
        file("safetensors", "surplus.safetensors", [&good[..], &[0]].concat(), "9 follow the header"),
        file("safetensors", "cut-header.safetensors", &good[..20], "that follow it"),
        file("safetensors", "text.safetensors", of("no JSON"), "header is broken"),
        file("safetensors", "bytes.safetensors", [&2u64.to_le_bytes()[..], b"\xFF\xFE"].concat(), "header is broken"),
        file("safetensors", "deep.safetensors", of(&"[".repeat(100_000)), "recursion"),
        file("safetensors", "deep-object.safetensors", of(&"{\"a\":".repeat(100_000)), "recursion"),
        file(
            "safetensors",
            "twice.safetensors",
            of(&patched_text(&one("F32", "[1,2]", 8), "{\"a\"", "{\"a\":0,\"a\"")),
            "`a` twice",
        ),
        file("safetensors", "twice-inside.safetensors", of(&one("F32\",\"dtype\":\"F32", "[1,2]", 8)), "`dtype` twice"),
        file("safetensors", "none.safetensors", safetensors("{}", &[]), "none of its tensors"),
        file("safetensors", "vector.safetensors", of(&one("F32", "[2]", 8)), "none of its tensors (a)"),
        file("safetensors", "eighths.safetensors", of(&one("F8_E4M3", "[1,8]", 8)), "none of its tensors"),
        file("safetensors", "type.safetensors", of(&one("F99", "[1,8]", 8)), "header is broken"),
        file("safetensors", "size.safetensors", of(&one("F32", "[1,3]", 8)), "header is broken"),
        file(
            "safetensors",
            "product.safetensors",
            of(&one("F32", "[4294967296,4294967296,4294967296]", 8)),
            "header is broken",
        ),
        file("safetensors", "negative.safetensors", of(&one("F32", "[-1,2]", 8)), "header is broken"),
        file(
            "safetensors",
            "hole.safetensors",
            of(&format!("{{{}}}", tensor("a", "F32", "[1,1]", 4, 8))),
            "header is broken",
        ),
        file(
            "safetensors",
            "back.safetensors",
            of(&format!("{{{}}}", tensor("a", "F32", "[1,2]", 8, 0))),
            "header is broken",
        ),
        file("safetensors", "empty-set.safetensors", safetensors(&one("F32", "[0,2]", 0), &[]), "at least one row"),
        file(
            "safetensors",
            "nan.safetensors",
            safetensors(&one("F32", "[1,2]", 8), &f32s(&[0.0, f32::NAN])),
            "row 0, column 1",
        ),
        file(
            "safetensors",
            "two.safetensors",
            {
                let both = [tensor("a", "U8", "[1,4]", 0, 4), tensor("b", "U8", "[4,1]", 4, 8)].join(",");
                of(&format!("{{{both}}}"))
            },
            "of a, b",
        ),
        file("safetensors", "empty.safetensors", b"", "the file is empty"),
    ]
}

pub(crate) fn patched_text(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} is not in {text}");
    text.replacen(from, to, 1)
}

fn images() -> Vec<File> {
    let end = chunk(b"IEND", &[]);
    let rows = [0, 10, 20, 30, 0, 40, 50, 60];
    let of = |header: Vec<u8>, data: Vec<u8>| png(&[header, data, end.clone()]);
    let good = small_png();
    let crc = |name: &[u8; 4]| {
        let at = good.windows(4).position(|w| w == name).unwrap();
        let mut bytes = good.clone();
        bytes[at + 4] ^= 1;
        bytes
    };
    let photo = jpeg(0xC0, 8, 8);
    vec![
        file("png", "magic.png", b"\x89PNG\r\n\x1a\n", "damaged"),
        file("png", "huge.png", of(ihdr(0x7FFF_FFFF, 0x7FFF_FFFF, 8, 0), idat(&rows)), "huge.png"),
        file("png", "large.png", of(ihdr(40_000, 40_000, 1, 0), idat(&rows)), "large.png"),
        file("png", "wide.png", of(ihdr(8000, 1, 16, 6), idat(&rows)), "wide.png"),
        file("png", "no-width.png", of(ihdr(0, 2, 8, 0), idat(&rows)), "damaged"),
        file("png", "depth.png", of(ihdr(3, 2, 7, 0), idat(&rows)), "damaged"),
        file("png", "kind.png", of(ihdr(3, 2, 8, 5), idat(&rows)), "damaged"),
        file("png", "palette.png", of(ihdr(3, 2, 8, 3), idat(&rows)), "damaged"),
        file(
            "png",
            "part-of-a-color.png",
            {
                let palette = chunk(b"PLTE", &[1, 2, 3, 4]);
                png(&[ihdr(4, 1, 1, 3), palette, idat(&[0, 0b0101_0000]), end.clone()])
            },
            "not three a color",
        ),
        file("png", "no-data.png", png(&[ihdr(3, 2, 8, 0), end.clone()]), "damaged"),
        file("png", "no-header.png", png(&[idat(&rows), end.clone()]), "damaged"),
        file("png", "no-end.png", png(&[ihdr(3, 2, 8, 0), idat(&rows)]), "damaged"),
        file("png", "rows.png", of(ihdr(3, 2, 8, 0), idat(&rows[..7])), "damaged"),
        file("png", "filter.png", of(ihdr(3, 2, 8, 0), idat(&[9, 10, 20, 30, 0, 40, 50, 60])), "damaged"),
        file("png", "garbage.png", of(ihdr(3, 2, 8, 0), chunk(b"IDAT", b"no zlib stream")), "damaged"),
        file("png", "chunk.png", [&good[..33], &[0xFF; 8]].concat(), "damaged"),
        file("png", "header-checksum.png", crc(b"IHDR"), "damaged"),
        file("png", "data-checksum.png", crc(b"IDAT"), "damaged"),
        file("png", "cut.png", &good[..good.len() - 13], "damaged"),
        file("jpeg", "magic.jpg", [0xFF, 0xD8, 0xFF], "damaged"),
        file("jpeg", "end.jpg", [0xFF, 0xD8, 0xFF, 0xD9], "damaged"),
        file("jpeg", "huge.jpg", jpeg(0xC0, 0xFFFF, 0xFFFF), "65535 x 65535"),
        file("jpeg", "progressive.jpg", jpeg(0xC2, 0xFFFF, 0xFFFF), "65535 x 65535"),
        file("jpeg", "no-height.jpg", jpeg(0xC0, 0, 8), "damaged"),
        file("jpeg", "no-width.jpg", jpeg(0xC0, 8, 0), "damaged"),
        file("jpeg", "arithmetic.jpg", jpeg(0xC9, 8, 8), "damaged"),
        file("jpeg", "no-scan.jpg", &photo[..photo.len() - 13], "damaged"),
        file("jpeg", "no-codes.jpg", patched(&photo, &[0xFF, 0xC4], &[0xFF, 0xFE]), "damaged"),
        file("jpeg", "cut.jpg", &photo[..100], "damaged"),
    ]
}

fn settings() -> Vec<File> {
    let deep = |open: &str, close: &str, n: usize| format!("seed = {}1{}\n", open.repeat(n), close.repeat(n));
    vec![
        file("config", "key.toml", "[model]\nd_hdi = 3\n", "did you mean `model.d_hid`"),
        file("config", "section.toml", "[modle]\nd_hid = 3\n", "modle"),
        file("config", "twice.toml", "seed = 1\nseed = 2\n", "twice.toml:2"),
        file("config", "section-twice.toml", "[model]\n[model]\n", "section-twice.toml:2"),
        file("config", "broken.toml", "[model\n", "broken.toml:1"),
        file("config", "type.toml", "seed = \"1\"\n", "a whole number"),
        file("config", "negative.toml", "seed = -1\n", "at least 0"),
        file("config", "large.toml", "seed = 99999999999999999999\n", "large.toml:1"),
        file("config", "nan.toml", "[optimizer]\nlr = nan\n", "optimizer.lr"),
        file("config", "date.toml", "seed = 2026-11-21\n", "seed"),
        file("config", "table.toml", "seed = { a = 1 }\n", "a table"),
        file("config", "arrays.toml", deep("[", "]", 10_000), "arrays.toml:1"),
        file("config", "tables.toml", deep("{a=", "}", 10_000), "tables.toml:1"),
        file("config", "dotted.toml", format!("a{}=1\n", ".a".repeat(50_000)), "dotted.toml"),
        file("config", "header.toml", format!("[a{}]\n", ".a".repeat(50_000)), "header.toml"),
        file("config", "bytes.toml", b"seed = \xFF\n".to_vec(), "not UTF-8"),
        file("config", "control.toml", "\"\\u001b[2J\" = 1\n", "control.toml:1"),
        file("config", "long.toml", format!("#{}", "x".repeat(2 << 20)), "at most"),
    ]
}
