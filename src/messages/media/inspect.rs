//! Inspects a file: its type by its bytes, its size and length, and a thumbnail.

use super::steps::Steps;
use crate::message::attachment::{ANYTHING, MediaKind};
use buffa::MessageField;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::{WebPDecoder, WebPEncoder};
use image::imageops::FilterType;
use image::{DynamicImage, ImageDecoder as _, ImageFormat, ImageReader, Limits};
use lofty::config::ParseOptions;
use lofty::file::AudioFile as _;
use lofty::probe::Probe;
use nom_exif::{MediaParser, MediaSource, TrackInfoTag};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Cursor, Read as _, Seek};
use std::time::Duration;
use tempfile::NamedTempFile;
use waproto::whatsapp as wa;
use whatsapp_rust::upload::UploadResponse;

/// Most pixels of a picture that is decoded for a thumbnail. Larger pictures are sent without one.
const PIXELS: u64 = 50_000_000;
/// Most bytes of memory that decoding a picture may take.
const MEMORY: u64 = 256 << 20;
/// The longer side of a thumbnail and a sticker, in pixels.
const THUMBNAIL: u32 = 100;
const STICKER: u32 = 512;
/// JPEG quality, of 100. The apps show it blurred.
const THUMBNAIL_QUALITY: u8 = 60;
/// A profile picture, as in the official app: its side in pixels, and its JPEG quality of 100.
const PROFILE: u32 = 640;
const PROFILE_QUALITY: u8 = 85;

/// The result of an inspection.
#[derive(Debug, Default)]
pub(super) struct Inspected {
    mime: String,
    width: Option<u32>,
    height: Option<u32>,
    /// The playing time.
    seconds: Option<u32>,
    /// A small JPEG.
    thumbnail: Option<Vec<u8>>,
    animated: bool,
    /// The file in another format, if the kind needs one.
    pub(super) converted: Option<NamedTempFile>,
}

/// Inspects a file that is to be sent as `kind`.
///
/// # Errors
/// The kind does not accept the file; the text names the file's type.
pub(super) fn inspect(kind: MediaKind, file: &NamedTempFile) -> Result<Inspected, String> {
    let open = || file.reopen().map(BufReader::new).map_err(|error| format!("content: {error}"));
    let mut head = vec![];
    open()?.take(8192).read_to_end(&mut head).map_err(|error| format!("content: {error}"))?;
    let mime = infer::get(&head).map_or(ANYTHING, |found| found.mime_type());
    let accepted = |accepted: &str| Err(format!("content: the file is {mime}; accepted is {accepted}"));
    match kind {
        MediaKind::Image => picture(open()?).or_else(|_| accepted("JPEG, PNG, WebP or GIF")),
        MediaKind::Sticker => sticker(&open).or_else(|_| accepted("WebP, JPEG, PNG or GIF")),
        MediaKind::Video | MediaKind::Gif if !mime.starts_with("video/") => accepted("a video, best MP4"),
        MediaKind::Video | MediaKind::Gif => Ok(video(open()?, mime)),
        MediaKind::Audio | MediaKind::Voice => {
            let mime = match mime {
                _ if head.starts_with(b"OggS") && head.windows(8).any(|bytes| bytes == b"OpusHead") => {
                    "audio/ogg; codecs=opus"
                }
                // A container for videos.
                "audio/m4a" | "video/mp4" => "audio/mp4",
                mime if mime.starts_with("audio/") => mime,
                _ => return accepted("audio, best Ogg with Opus or MP3"),
            };
            Ok(Inspected { mime: mime.into(), seconds: audio_length(open()?).map(seconds), ..Inspected::default() })
        }
        MediaKind::Document => Ok(Inspected { mime: mime.into(), ..Inspected::default() }),
    }
}

fn limited<R: BufRead + Seek + 'static>(reader: R) -> image::ImageResult<(ImageFormat, impl image::ImageDecoder)> {
    let reader = ImageReader::new(reader).with_guessed_format()?;
    let format =
        reader.format().ok_or_else(|| image::ImageError::Unsupported(image::error::ImageFormatHint::Unknown.into()))?;
    let mut decoder = reader.into_decoder()?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MEMORY);
    decoder.set_limits(limits)?;
    Ok((format, decoder))
}

/// The picture in its orientation, unless decoding it takes too much.
fn whole(mut decoder: impl image::ImageDecoder) -> Option<DynamicImage> {
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > PIXELS {
        return None;
    }
    let orientation = decoder.orientation().ok();
    let mut picture = DynamicImage::from_decoder(decoder).ok()?;
    if let Some(orientation) = orientation {
        picture.apply_orientation(orientation);
    }
    Some(picture)
}

fn picture(reader: BufReader<File>) -> image::ImageResult<Inspected> {
    let (format, decoder) = limited(reader)?;
    let (width, height) = decoder.dimensions();
    let picture = whole(decoder);
    let (width, height) = picture.as_ref().map_or((width, height), |it| (it.width(), it.height()));
    let thumbnail = picture.and_then(|picture| small(&picture));
    Ok(Inspected {
        mime: format.to_mime_type().into(),
        width: Some(width),
        height: Some(height),
        thumbnail,
        ..Inspected::default()
    })
}

/// A profile picture: the middle of a picture, as JPEG.
pub(super) fn square(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    let failed = |error: image::ImageError| error.to_string();
    let (_, decoder) = limited(Cursor::new(bytes)).map_err(failed)?;
    let picture = whole(decoder).ok_or("too large")?;
    let side = picture.width().min(picture.height()).min(PROFILE);
    let square = picture.resize_to_fill(side, side, FilterType::Lanczos3).to_rgb8();
    let mut jpeg = Cursor::new(vec![]);
    square.write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, PROFILE_QUALITY)).map_err(failed)?;
    Ok(jpeg.into_inner())
}

fn small(picture: &DynamicImage) -> Option<Vec<u8>> {
    let mut jpeg = Cursor::new(vec![]);
    let small = picture.thumbnail(THUMBNAIL, THUMBNAIL).to_rgb8();
    small.write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, THUMBNAIL_QUALITY)).ok()?;
    Some(jpeg.into_inner())
}

fn sticker(open: &impl Fn() -> Result<BufReader<File>, String>) -> Result<Inspected, String> {
    let failed = |error: image::ImageError| error.to_string();
    let (format, decoder) = limited(open()?).map_err(failed)?;
    let mime = ImageFormat::WebP.to_mime_type().to_owned();
    if format == ImageFormat::WebP {
        let (width, height) = decoder.dimensions();
        let animated = WebPDecoder::new(open()?).map_err(failed)?.has_animation();
        return Ok(Inspected { mime, width: Some(width), height: Some(height), animated, ..Inspected::default() });
    }
    let picture = whole(decoder).ok_or("too large")?.resize(STICKER, STICKER, FilterType::Lanczos3);
    let mut square = image::RgbaImage::new(STICKER, STICKER);
    let centre = |side: u32| i64::from((STICKER - side) / 2);
    image::imageops::overlay(&mut square, &picture, centre(picture.width()), centre(picture.height()));
    let file = NamedTempFile::new().map_err(|error| error.to_string())?;
    square.write_with_encoder(WebPEncoder::new_lossless(BufWriter::new(&file))).map_err(failed)?;
    Ok(Inspected { mime, width: Some(STICKER), height: Some(STICKER), converted: Some(file), ..Inspected::default() })
}

/// A video whose headers cannot be read is sent without size and length.
fn video(reader: BufReader<File>, mime: &str) -> Inspected {
    let mut inspected = Inspected { mime: mime.into(), ..Inspected::default() };
    let parsed = MediaSource::seekable(Steps::of(reader)).and_then(|source| MediaParser::new().parse_track(source));
    if let Ok(track) = parsed {
        let number = |tag| track.get(tag).and_then(|value| value.as_u64().or_else(|| value.as_u32().map(u64::from)));
        let narrow = |number: u64| u32::try_from(number).ok().filter(|number| *number > 0);
        inspected.width = number(TrackInfoTag::Width).and_then(narrow);
        inspected.height = number(TrackInfoTag::Height).and_then(narrow);
        inspected.seconds = number(TrackInfoTag::DurationMs).map(|ms| seconds(Duration::from_millis(ms)));
    }
    inspected
}

fn audio_length(reader: BufReader<File>) -> Option<Duration> {
    let options = ParseOptions::new().read_tags(false).read_cover_art(false);
    let audio = Probe::new(Steps::of(reader)).options(options).guess_file_type().ok()?.read().ok()?;
    Some(audio.properties().duration()).filter(|length| !length.is_zero())
}

/// Whole seconds, at least one, as the apps show them.
fn seconds(length: Duration) -> u32 {
    u32::try_from(length.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1)
}

/// The message that names an uploaded file.
pub(super) fn message(kind: MediaKind, inspected: &mut Inspected, upload: UploadResponse) -> wa::Message {
    let mimetype = Some(std::mem::take(&mut inspected.mime));
    let (url, direct_path) = (Some(upload.url), Some(upload.direct_path));
    let (media_key, file_sha256) = (Some(upload.media_key.to_vec()), Some(upload.file_sha256.to_vec()));
    let file_enc_sha256 = Some(upload.file_enc_sha256.to_vec());
    let (file_length, media_key_timestamp) = (Some(upload.file_length), Some(upload.media_key_timestamp));
    let streaming_sidecar = upload.streaming_sidecar;
    let Inspected { width, height, seconds, .. } = *inspected;
    macro_rules! file {
        ($field:ident: $type:ident { $($more:tt)* }) => {
            wa::Message {
                $field: MessageField::some(wa::message::$type {
                    url, direct_path, media_key, file_sha256, file_enc_sha256, file_length, media_key_timestamp, mimetype,
                    $($more)*
                    ..Default::default()
                }),
                ..Default::default()
            }
        };
    }
    match kind {
        MediaKind::Image => {
            file!(image_message: ImageMessage { width, height, jpeg_thumbnail: inspected.thumbnail.take(), })
        }
        MediaKind::Video | MediaKind::Gif => {
            let gif_playback = (kind == MediaKind::Gif).then_some(true);
            file!(video_message: VideoMessage { width, height, seconds, streaming_sidecar, gif_playback, })
        }
        MediaKind::Audio | MediaKind::Voice => {
            let ptt = Some(kind == MediaKind::Voice);
            file!(audio_message: AudioMessage { seconds, streaming_sidecar, ptt, })
        }
        MediaKind::Document => file!(document_message: DocumentMessage {}),
        MediaKind::Sticker => {
            let is_animated = Some(inspected.animated);
            file!(sticker_message: StickerMessage { width, height, is_animated, })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn r5_r9_an_audio_file_that_leads_its_parser_in_circles_ends() -> std::io::Result<()> {
        let seed = include_bytes!("../../../fuzz/seeds/file/endless_audio");
        let mut file = NamedTempFile::new()?;
        file.write_all(&seed[1..])?;
        let inspected = inspect(MediaKind::Voice, &file);
        assert!(inspected.as_ref().is_ok_and(|it| it.seconds.is_none()), "{inspected:?}");
        Ok(())
    }

    #[test]
    fn m9_a_profile_picture_is_the_middle_of_one() {
        for (size, side) in [((900, 600), 600), ((100, 2000), 100), ((3000, 3000), 640)] {
            let mut png = Cursor::new(vec![]);
            let picture = image::RgbImage::new(size.0, size.1);
            assert!(picture.write_to(&mut png, ImageFormat::Png).is_ok());
            let made = square(png.into_inner());
            let made = made.ok().and_then(|jpeg| image::load_from_memory_with_format(&jpeg, ImageFormat::Jpeg).ok());
            assert_eq!(made.map(|it| (it.width(), it.height())), Some((side, side)));
        }
        assert!(square(b"words".to_vec()).is_err());
    }
}
