//! QR codes as pictures.

use image::{ExtendedColorType, ImageEncoder as _, codecs::png::PngEncoder};
use qrcode::render::svg;
use qrcode::{Color, EcLevel, QrCode};

/// Pixels of a module of the PNG.
const MODULE: usize = 8;
/// Modules of white around the code, which scanners need.
const QUIET: usize = 4;

/// The code as SVG, without the XML declaration; `None` for a text that no code can hold.
pub(super) fn svg(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let picture = code
        .render::<svg::Color<'_>>()
        .min_dimensions(240, 240)
        .dark_color(svg::Color("#000"))
        .light_color(svg::Color("#fff"))
        .build();
    picture.find("<svg").map(|start| picture[start..].to_owned())
}

/// The code as PNG, black on white.
pub(super) fn png(text: &str) -> Option<Vec<u8>> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let (modules, width) = (code.to_colors(), code.width());
    let side = (width + 2 * QUIET) * MODULE;
    let is_dark = |x: usize, y: usize| {
        let (x, y) = ((x / MODULE).checked_sub(QUIET), (y / MODULE).checked_sub(QUIET));
        let (Some(x), Some(y)) = (x.filter(|x| *x < width), y.filter(|y| *y < width)) else { return false };
        modules.get(y * width + x) == Some(&Color::Dark)
    };
    let pixels: Vec<u8> = (0..side * side).map(|at| if is_dark(at % side, at / side) { 0 } else { 255 }).collect();
    let mut png = vec![];
    let side = u32::try_from(side).ok()?;
    PngEncoder::new(&mut png).write_image(&pixels, side, side, ExtendedColorType::L8).ok()?;
    Some(png)
}
