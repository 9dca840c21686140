//! Small, valid files of each type.

use anyhow::Result;
use image::{DynamicImage, ImageFormat, Rgba, RgbaImage};
use std::io::Cursor;

/// A picture with a gradient, so that each size gives different bytes.
pub(super) fn picture(format: ImageFormat, width: u32, height: u32) -> Result<Vec<u8>> {
    let shade = |at: u32, of: u32| u8::try_from(at * 255 / of.max(1)).unwrap_or(255);
    let picture = RgbaImage::from_fn(width, height, |x, y| Rgba([shade(x, width), shade(y, height), 80, 255]));
    let picture = DynamicImage::ImageRgba8(picture);
    let mut file = Cursor::new(vec![]);
    // JPEG has no transparency.
    if format == ImageFormat::Jpeg {
        picture.to_rgb8().write_to(&mut file, format)
    } else {
        picture.write_to(&mut file, format)
    }?;
    Ok(file.into_inner())
}

/// An MP4 whose headers claim 640 by 360 pixels and 2.5 seconds; it has no frames.
pub(super) fn film() -> Vec<u8> {
    fn atom(name: [u8; 4], content: &[Vec<u8>]) -> Vec<u8> {
        let content = content.concat();
        let length = u32::try_from(content.len() + 8).unwrap_or(0).to_be_bytes();
        [&length[..], &name, &content].concat()
    }
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
    let matrix = words(&[0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000]);
    let mvhd = [words(&[0, 0, 0, 1000, 2500, 0x1_0000, 0x0100_0000, 0, 0]), matrix.clone(), vec![0; 24], words(&[2])];
    let tkhd = [words(&[7, 0, 0, 1, 0, 2500, 0, 0, 0, 0]), matrix, words(&[640 << 16, 360 << 16])];
    let times = [words(&[0, 0, 0, 1000, 2500, 0x55c4_0000])];
    let hdlr = [words(&[0, 0]), b"vide".to_vec(), vec![0; 12], b"film\0".to_vec()];
    let mdia = atom(*b"mdia", &[atom(*b"mdhd", &times), atom(*b"hdlr", &hdlr)]);
    let moov = atom(*b"moov", &[atom(*b"mvhd", &mvhd), atom(*b"trak", &[atom(*b"tkhd", &tkhd), mdia])]);
    let ftyp = atom(*b"ftyp", &[b"isom\0\0\x02\0isomiso2avc1mp41".to_vec()]);
    [ftyp, moov, atom(*b"mdat", &[vec![0; 64]])].concat()
}

/// An MP3 with 2.5 seconds of silence: 128 kbit/s, 1152 samples of 44.1 kHz a frame.
pub(super) fn music() -> Vec<u8> {
    let frame = [&[0xff, 0xfb, 0x90, 0xc4][..], &[0; 413]].concat();
    frame.repeat(96)
}

/// Ogg with Opus, 2.5 seconds.
pub(super) fn speech() -> Vec<u8> {
    let head = [&b"OpusHead\x01\x01\0\0"[..], &48_000_u32.to_le_bytes(), &[0, 0, 0]].concat();
    let tags = [&b"OpusTags"[..], &4_u32.to_le_bytes(), b"none", &0_u32.to_le_bytes()].concat();
    [page(2, 0, 0, &head), page(0, 0, 1, &tags), page(4, 120_000, 2, &[0xf8, 0xff, 0xfe])].concat()
}

fn page(flags: u8, granule: u64, number: u32, packet: &[u8]) -> Vec<u8> {
    let length = u8::try_from(packet.len()).unwrap_or(u8::MAX);
    let mut page =
        [&b"OggS\0"[..], &[flags], &granule.to_le_bytes(), &7_u32.to_le_bytes(), &number.to_le_bytes()].concat();
    page.extend([0, 0, 0, 0, 1, length]);
    page.extend(packet);
    let sum = page.iter().fold(0_u32, |sum, byte| {
        (0..8).fold(sum ^ (u32::from(*byte) << 24), |sum, _| (sum << 1) ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 })
    });
    page[22..26].copy_from_slice(&sum.to_le_bytes());
    page
}
