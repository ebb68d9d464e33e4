// Each store's layout, read without trust: nothing outside the store is reached by what is written
// in it, only regular files are opened, and what is odd is a FoundModel's problem.
#pragma once

#include <filesystem>

#include "formats/store/found_model.h"

namespace plimsoll::formats::store {

// models--ORG--NAME/{refs/BRANCH, snapshots/COMMIT/FILE, blobs/HASH, trees/COMMIT.json}. The files
// of a snapshot are links, over one step or several, to blobs, or the files themselves; they may be
// fewer than the commit has, which trees/ tells where it is there. A model is taken from the
// snapshot of refs/main if it is whole there, else from the latest other one.
// Names: hf:ORG/NAME of safetensors, hf:ORG/NAME:QUANT (or :FILE's stem) of GGUF.
// https://huggingface.co/docs/hub/local-cache
void ScanHuggingFace(const std::filesystem::path& hub, Findings& findings);

// manifests/HOST/NAMESPACE/NAME/TAG, which is JSON that names blobs/sha256-HEX by a digest.
// Names: ollama:NAME:TAG, with the namespace and the host where they are not Ollama's own.
// https://github.com/ollama/ollama, server/manifest.go
void ScanOllama(const std::filesystem::path& store, Findings& findings);

// PUBLISHER/MODEL/FILE; links may lead anywhere, since `lms import` makes such.
// Names: lmstudio:PUBLISHER/MODEL, or lmstudio:PUBLISHER/MODEL/STEM of several in one folder.
void ScanLmStudio(const std::filesystem::path& store, Findings& findings);

// GGUF files, and folders with one model or several, in a folder that the user named.
// Names: the file's stem, or the folder's name; FOLDER/STEM of several in one folder.
void ScanFolder(const std::filesystem::path& folder, Findings& findings);

// What a place is, before it is searched: kMissing, kUnreadable with the reason, or kSearched.
[[nodiscard]] SearchedPlace LookAt(Source source, const std::filesystem::path& path);

}  // namespace plimsoll::formats::store
