use super::super::{from_bytes, load};
use super::*;

/// A PNG as an independent writer makes it.
fn png(width: u32, height: u32, color: png::ColorType, depth: png::BitDepth, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    encoder.write_header().unwrap().write_image_data(data).unwrap();
    bytes
}

/// `width·height` pixels 0, 1, 2, … of one byte.
fn ramp(width: u32, height: u32) -> Vec<u8> {
    let data: Vec<u8> = (0..width * height).map(|v| v as u8).collect();
    png(width, height, png::ColorType::Grayscale, png::BitDepth::Eight, &data)
}

fn cut(parameters: &str, bytes: &[u8]) -> Result<Dataset> {
    Images::parse(parameters)?.read(Source::of_bytes("a.png", bytes), 1)
}

fn error(parameters: &str, bytes: &[u8]) -> String {
    cut(parameters, bytes).unwrap_err().to_string()
}

/// Grey, 8×8, all of one value: a baseline JPEG written by hand from ITU-T T.81, with a quantiser of 1 and codes of one
/// bit, `0` for a difference of category 0 and for the end of a block.
fn jpeg() -> Vec<u8> {
    let mut bytes = vec![0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0];
    bytes.extend([1; 64]);
    bytes.extend([0xFF, 0xC0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0]);
    for class in [0x00, 0x10] {
        bytes.extend([0xFF, 0xC4, 0, 20, class, 1]);
        bytes.extend([0; 15]);
        bytes.push(0);
    }
    // The scan: a `0`, a `0`, and ones up to the end of the byte.
    bytes.extend([0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0, 0x3F, 0xFF, 0xD9]);
    bytes
}

#[test]
fn a_small_image_is_a_row_and_a_larger_one_patches_side_by_side() {
    let set = cut("", &ramp(5, 3)).unwrap();
    assert_eq!((set.rows, set.cols, set.image), (1, 15, Some((3, 5))));
    assert_eq!(set.data, (0..15).map(|v| v as f32).collect::<Vec<_>>());
    let set = cut("", &ramp(70, 17)).unwrap();
    assert_eq!((set.rows, set.cols, set.image), (2 * 8, 64, Some((8, 8))));
    // Second patch of the second row: pixels from row 8, column 8 on.
    assert_eq!(set.row(9)[..9], [568, 569, 570, 571, 572, 573, 574, 575, 638].map(|v| (v % 256) as f32));
}

#[test]
fn stride_and_side_say_where_patches_are() {
    let set = cut("patch=2,stride=1", &ramp(3, 3)).unwrap();
    assert_eq!(set.data, [0, 1, 3, 4, 1, 2, 4, 5, 3, 4, 6, 7, 4, 5, 7, 8].map(|v| v as f32));
    assert_eq!(cut("patch=2", &ramp(5, 3)).unwrap().data, [0, 1, 5, 6, 2, 3, 7, 8].map(|v| v as f32));
    assert_eq!(cut("patch=0", &ramp(100, 2)).unwrap().cols, 200);
    assert!(error("patch=4", &ramp(5, 3)).contains("3 x 5 pixels, expected at least the patch, 4 x 4"));
}

#[test]
fn drawn_patches_come_from_every_place_and_from_the_seed() {
    let set = cut("patch=2,count=900", &ramp(4, 4)).unwrap();
    assert_eq!((set.rows, set.cols), (900, 4));
    let corners: std::collections::BTreeSet<u32> = (0..900).map(|i| set.row(i)[0] as u32).collect();
    assert_eq!(corners.into_iter().collect::<Vec<_>>(), [0, 1, 2, 4, 5, 6, 8, 9, 10]);
    assert_eq!(cut("patch=2,count=900", &ramp(4, 4)).unwrap(), set);
    let other = Images::parse("patch=2,count=900").unwrap().read(Source::of_bytes("a.png", &ramp(4, 4)), 2).unwrap();
    assert_ne!(other.data, set.data);
}

#[test]
fn colors_depths_and_transparency_become_grey_or_rgb() {
    use png::BitDepth::{Eight, One, Sixteen};
    use png::ColorType::{Grayscale, GrayscaleAlpha, Rgb, Rgba};
    let grey = |r: u32, g: u32, b: u32| (f64::from(299 * r + 587 * g + 114 * b) / 1000.0) as f32;
    for (color, depth, data, expected) in [
        (Rgb, Eight, vec![10, 20, 30, 255, 255, 255], [grey(10, 20, 30), 255.0]),
        (Rgba, Eight, vec![10, 20, 30, 0, 255, 255, 255, 9], [grey(10, 20, 30), 255.0]),
        (GrayscaleAlpha, Eight, vec![7, 0, 9, 255], [7.0, 9.0]),
        (Grayscale, Sixteen, vec![0xFF, 0xFF, 1, 1], [255.0, 1.0]),
        (Grayscale, One, vec![0b0100_0000], [0.0, 255.0]),
    ] {
        let set = cut("", &png(2, 1, color, depth, &data)).unwrap();
        assert_eq!(set.data, expected, "{color:?} {depth:?}");
    }
    let set = cut("color=rgb", &png(2, 1, Rgb, Eight, &[1, 2, 3, 4, 5, 6])).unwrap();
    assert_eq!((set.cols, set.image, set.data), (6, None, vec![1., 2., 3., 4., 5., 6.]));
    assert_eq!(cut("color=rgb", &png(1, 1, GrayscaleAlpha, Eight, &[7, 1])).unwrap().data, [7.0; 3]);
}

#[test]
fn a_jpeg_is_read() {
    let set = from_bytes("a.jpg", &jpeg()).unwrap();
    assert_eq!((set.rows, set.cols, set.image), (1, 64, Some((8, 8))));
    assert_eq!(set.data, [128.0; 64]);
}

#[test]
fn an_image_cut_off_anywhere_is_refused_and_bytes_behind_it_are_not() {
    for whole in [ramp(9, 9), jpeg()] {
        let set = from_bytes("a.png", &whole).unwrap();
        for end in 0..whole.len() {
            assert!(from_bytes("a.png", &whole[..end]).is_err(), "{end} of {}", whole.len());
        }
        assert_eq!(from_bytes("a.png", &[&whole[..], b"more"].concat()).unwrap(), set);
    }
}

#[test]
fn a_folder_gives_the_patches_of_its_images_in_the_order_of_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("b.PNG", &ramp(2, 2));
    write("a.png", &png(2, 2, png::ColorType::Grayscale, png::BitDepth::Eight, &[9; 4]));
    write("notes.txt", b"no image");
    let spec = folder.path().to_str().unwrap().to_owned();
    let set = load(&spec, 0).unwrap();
    assert_eq!((set.rows, set.image, &set.data[..]), (2, Some((2, 2)), &[9., 9., 9., 9., 0., 1., 2., 3.][..]));
    assert_eq!(load(&format!("{spec}:patch=1"), 0).unwrap().rows, 8);
    write("c.png", &ramp(3, 2));
    assert!(load(&format!("{spec}:patch=0"), 0).unwrap_err().to_string().contains("2 x 2 and 2 x 3"));
    let small = load(&spec, 0).unwrap_err().to_string();
    assert!(small.contains("a.png") && small.contains("at least the patch, 8 x 8"), "{small}");
    assert_eq!(load(&format!("{spec}:patch=2,count=50"), 0).unwrap().rows, 50);
    write("d.png", b"\x89PNG no image");
    assert!(load(&format!("{spec}:patch=1"), 0).unwrap_err().to_string().contains("d.png"));
}

#[test]
fn parameters_that_are_wrong_are_refused_by_name() {
    for (parameters, told) in [
        ("patch=x", "image: patch"),
        ("stride=0", "at least 1"),
        ("count=-1", "image: count"),
        ("color=gray", "grey or rgb"),
        ("ptach=8", "did you mean `patch`"),
        ("stride=1,count=1", "both stride and count"),
    ] {
        let error = Images::parse(parameters).unwrap_err();
        assert!(error.to_string().contains(told) && error.exit_code() == 2, "{error}");
    }
    assert_eq!(Images::parse("").unwrap(), Images::default());
}

#[test]
fn a_header_that_claims_a_huge_image_is_refused() {
    let mut bytes = ramp(8, 8);
    // IHDR's width and height, and its checksum.
    bytes[16..24].copy_from_slice(&[0x7F, 0xFF, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF]);
    let crc = flate2_crc(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    assert!(error("", &bytes).contains("a.png"), "{}", error("", &bytes));
    let mut bytes = jpeg();
    let frame = bytes.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
    bytes[frame + 5..frame + 9].fill(0xFF);
    assert!(error("", &bytes).contains("65535 x 65535"), "{}", error("", &bytes));
}

fn flate2_crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[test]
fn photographs_give_the_patches_they_hold() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/natural"));
    if !folder.is_dir() {
        eprintln!("skipped: {} is not there", folder.display());
        return;
    }
    let set = load(folder.to_str().unwrap(), 0).unwrap();
    assert_eq!((set.rows, set.cols, set.image), (2 * (427 / 8) * (640 / 8), 64, Some((8, 8))));
    assert!(set.range().0 >= 0.0 && set.range().1 <= 255.0 && set.range().1 > 200.0);
    let drawn = load(&format!("{}:patch=12,count=1000", folder.display()), 0).unwrap();
    assert_eq!((drawn.rows, drawn.cols), (1000, 144));
}
