use std::fs::{self, File};
use std::io::BufReader;

use super::*;

/// Saves, decodes with the png crate, and checks that the file holds the sheet's pixels.
fn decoded(sheet: &FilterSheet) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("filters.png");
    sheet.save(&path).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let mut reader = png::Decoder::new(BufReader::new(File::open(&path).unwrap())).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.height as usize, info.width as usize), sheet.size);
    assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
    pixels
}

fn image(height: usize, width: usize) -> FilterOptions {
    FilterOptions { image: Some((height, width)), ..FilterOptions::default() }
}

#[test]
fn a_known_filter_is_its_image_enlarged_on_a_white_ground() {
    // Three units over 2 × 2 images: a checkerboard of strength 3, zeros, one bright pixel on the lower left.
    let units = [[3.0, -3.0, -3.0, 3.0], [0.0; 4], [0.0, 0.0, 0.5, 0.0]];
    let w: Vec<f32> = (0..4).flat_map(|i| units.map(|u| u[i])).collect();
    let sheet = FilterSheet::draw(&w, 4, 3, &image(2, 2)).unwrap();
    assert_eq!((sheet.columns, sheet.rows, sheet.drawn, sheet.total), (2, 2, 3, 3));
    assert_eq!(sheet.tile, (48, 48));
    assert_eq!(sheet.size, (102, 102));
    let pixels = decoded(&sheet);
    let expected = [[255, 0, 0, 255], [128; 4], [128, 128, 255, 128]];
    for y in 0..102usize {
        for x in 0..102usize {
            // A cell is 2 pixels of line, then 48 of tile.
            let (row, column) = (y / 50, x / 50);
            let inside = y % 50 >= 2 && x % 50 >= 2 && row * 2 + column < 3;
            let (py, px) = ((y % 50).saturating_sub(2) / 24, (x % 50).saturating_sub(2) / 24);
            let grey = if inside { expected[row * 2 + column][py * 2 + px] } else { 255 };
            let at = 3 * (y * 102 + x);
            assert_eq!(pixels[at..at + 3], [grey; 3], "{y} {x}");
        }
    }
}

#[test]
fn images_that_are_not_square_keep_their_orientation() {
    let mut w = vec![0.0; 6]; // 2 high, 3 wide; the last pixel of the first row
    w[2] = 1.0;
    let sheet = FilterSheet::draw(&w, 6, 1, &image(2, 3)).unwrap();
    assert_eq!(sheet.tile, (32, 48));
    let pixel = |y: usize, x: usize| sheet.rgb()[3 * (y * sheet.size.1 + x)];
    assert_eq!((pixel(2, 2 + 47), pixel(2 + 15, 2 + 32)), (255, 255));
    assert_eq!((pixel(2 + 16, 2 + 47), pixel(2, 2 + 31)), (128, 128));
}

#[test]
fn the_grid_is_near_square_and_holds_every_unit_it_says() {
    for (d_hid, columns, rows) in [(1, 1, 1), (2, 2, 1), (196, 14, 14), (200, 15, 14), (1024, 32, 32), (1025, 32, 32)] {
        let sheet = FilterSheet::draw(&vec![1.0; 4 * d_hid], 4, d_hid, &image(2, 2)).unwrap();
        assert_eq!((sheet.columns, sheet.rows, sheet.drawn), (columns, rows, d_hid.min(1024)), "{d_hid}");
        assert_eq!(sheet.total, d_hid);
    }
    // Strips are wider than high: more rows than columns, yet a sheet of about equal sides.
    let sheet = FilterSheet::draw(&vec![1.0; 64 * 100], 64, 100, &FilterOptions::default()).unwrap();
    let ratio = sheet.size.0 as f64 / sheet.size.1 as f64;
    assert!(sheet.rows > sheet.columns && (0.7..1.4).contains(&ratio), "{ratio}");
}

#[test]
fn a_sheet_that_would_be_too_large_shows_fewer_units() {
    let options = FilterOptions { max_tiles: usize::MAX, ..image(1, 1) };
    let sheet = FilterSheet::draw(&vec![0.5; 14_000], 1, 14_000, &options).unwrap();
    assert_eq!((sheet.drawn, sheet.total), (13_421, 14_000)); // 2²⁵ / 50² = 13,421.8
}

#[test]
fn bars_go_up_and_down_from_the_middle() {
    let sheet = FilterSheet::draw(&[1.0, -0.5, 0.0, f32::NAN], 4, 1, &FilterOptions::default()).unwrap();
    assert_eq!(sheet.tile, (37, 96));
    assert_eq!(sheet.not_finite, 1);
    let pixels = decoded(&sheet);
    let column = |bar: usize| -> Vec<Rgb> {
        (0..37).map(|y| pixels[3 * ((y + 2) * 100 + 2 + bar * 24 + 5)..][..3].try_into().unwrap()).collect()
    };
    let (up, down) = Palette::Grey.bars();
    let parts = |above: (Rgb, usize), below: (Rgb, usize)| {
        let mut colors = vec![GROUND; 37];
        colors[18] = ZERO;
        colors[18 - above.1..18].fill(above.0);
        colors[19..19 + below.1].fill(below.0);
        colors
    };
    assert_eq!(column(0), parts((up, 18), (down, 0)));
    assert_eq!(column(1), parts((up, 0), (down, 9)));
    assert_eq!(column(2), parts((up, 0), (down, 0)));
    assert_eq!(column(3), vec![NOT_FINITE; 37]);
}

#[test]
fn a_lone_weight_of_a_wide_input_is_not_lost() {
    let mut w = vec![0.01; 1000];
    w[777] = -1.0;
    let sheet = FilterSheet::draw(&w, 1000, 1, &FilterOptions::default()).unwrap();
    assert_eq!(sheet.tile, (37, 167)); // 1000 inputs, six to a bar
    let (_, down) = Palette::Grey.bars();
    let at = 3 * ((2 + 36) * sheet.size.1 + 2 + 777 / 6);
    assert_eq!(sheet.rgb()[at..at + 3], down);
}

#[test]
fn weights_that_are_not_finite_are_marked_and_counted_and_do_not_flatten_the_rest() {
    let sheet = FilterSheet::draw(&[f32::INFINITY, f32::NAN, 2.0, -1.0], 4, 1, &image(2, 2)).unwrap();
    assert_eq!(sheet.not_finite, 2);
    let pixel = |y: usize, x: usize| &sheet.rgb()[3 * (y * sheet.size.1 + x)..][..3];
    assert_eq!((pixel(2, 2), pixel(2, 30)), (&NOT_FINITE[..], &NOT_FINITE[..]));
    assert_eq!((pixel(30, 2), pixel(30, 30)), (&[255; 3][..], &[64; 3][..]));
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let check = |w: &[f32], d_in, d_hid, options: &FilterOptions, part: &str| {
        let error = FilterSheet::draw(w, d_in, d_hid, options).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    let plain = FilterOptions::default();
    check(&[0.0; 4], 0, 4, &plain, "d_in is 0");
    check(&[0.0; 4], 4, 0, &plain, "d_hid is 0");
    check(&[0.0; 4], 3, 1, &plain, "the length of w_enc is 4, expected d_in x d_hid = 3 x 1");
    check(&[0.0; 4], usize::MAX, 2, &plain, "the length of w_enc");
    check(&[0.0; 4], 4, 1, &image(3, 1), "image is 3 x 1, expected d_in = 4 pixels");
    check(&[0.0; 4], 4, 1, &image(usize::MAX, 2), "image");
    check(&[0.0; 4], 4, 1, &FilterOptions { max_tiles: 0, ..plain.clone() }, "max_tiles is 0");
    let sheet = FilterSheet::draw(&[0.0; 4], 4, 1, &plain).unwrap();
    let dir = tempfile::tempdir().unwrap();
    assert!(sheet.save(&dir.path().join("none").join("a.png")).unwrap_err().to_string().contains("a.png"));
}
