#!/usr/bin/python3
"""`plimsoll quantize FOLDER OUT F32`: of every architecture a random model, taken apart into a folder
as Hugging Face publishes it and made a GGUF again, has the same tensors, metadata and logits, bit
for bit. Folders of which something is missing or wrong are refused by its name.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools" / "oracle"), str(ROOT / "tools" / "fidelity"), str(Path(__file__).resolve().parent)]

import numpy as np  # noqa: E402

import hugging_face  # noqa: E402
from gguf_file import GgufFile  # noqa: E402

BUILD = None  # the folder that the programs were built in
DIMENSIONS = (
    "--layers 2 --hidden 128 --heads 4 --kv-heads 2 --head-dim 32 --ff 192 --experts 0 --top-k 2 "
    "--expert-ff 64 --shared-ff 96 --vocab 400 --type f32"
)
MOE = "--experts 4"

MODELS = {
    "llama": "--arch llama --biases true",
    "llama with experts": f"--arch llama {MOE}",
    "llama 3": "--arch llama --rope-scaling llama3",
    "mistral3": "--arch mistral3 --rope-scaling yarn --rope-log-multiplier 1 --rope-original-context 16 --temperature-scale 0.1",
    "qwen2": "--arch qwen2",
    "qwen3": "--arch qwen3 --tied --rope-scaling yarn",
    "qwen2moe": f"--arch qwen2moe {MOE}",
    "qwen3moe": f"--arch qwen3moe {MOE} --renormalise true",
    "olmoe": f"--arch olmoe {MOE} --kv-heads 4",
    "deepseek2": f"--arch deepseek2 {MOE} --experts 8 --gating sigmoid --renormalise true --router-weights-scale 2.5 --groups 4 "
    "--groups-used 2 --selection-bias --rope-scaling yarn --rope-log-multiplier 0.1 --q-rank 64 --kv-rank 96 --head-dim 32",
    "dots1": f"--arch dots1 {MOE} --kv-heads 4 --gating sigmoid --renormalise true --router-weights-scale 2.5 --selection-bias",
    "glm4moe": f"--arch glm4moe {MOE} --shared-experts 1 --gating sigmoid --renormalise true --router-weights-scale 2.5",
    "minimax-m2": f"--arch minimax-m2 {MOE} --gating sigmoid",
    "granite": "--arch granite --tied",
    "granitemoe": f"--arch granitemoe {MOE}",
    "granitemoe without a shared expert": f"--arch granitemoe {MOE} --shared-ff 0",
    "phi3": "--arch phi3 --rope-scaling longrope --rope-original-context 16",
    "gemma3": "--arch gemma3 --layers 6 --rope-theta 1000000 --rope-scaling linear",
    "gemma4": "--arch gemma4 --layers 4 --shared-kv-layers 2 --layer-input 32 --rope-theta 1000000 --logit-cap 30",
    "gemma4 with experts": f"--arch gemma4 {MOE} --values-of-keys --logit-cap 30 --rope-theta 1000000",
    "llama4": f"--arch llama4 {MOE} --layers 4 --top-k 1 --chunk 16 --temperature-scale 0.5 --temperature-length 8",
    "gpt-oss": f"--arch gpt-oss {MOE} --ff 64 --rope-scaling yarn",
    "qwen3next": f"--arch qwen3next {MOE}",
    "qwen35": "--arch qwen35",
    "qwen35moe": f"--arch qwen35moe {MOE}",
}
# Of the file, not of the model.
UNSAID = ("general.name", "general.file_type")


def run(*words):
    return subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=300)


def checked(*words):
    done = run(*words)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


def plimsoll(*words):
    return run(BUILD / "plimsoll", *words)


def logits(model):
    return checked(BUILD / "plimsoll", "eval", "logits", "-m", model, "--ids", ",".join(map(str, range(40, 64))), "--full")


def patch(path, gguf, tensors):
    """Writes F32 tensors over those of the file."""
    with open(path, "r+b") as file:
        for name, values in tensors.items():
            file.seek(gguf._start + gguf._tensors[name][2])
            file.write(np.ascontiguousarray(values, np.float32).tobytes())


class FolderTest(unittest.TestCase):
    def setUp(self):
        self.scratch = Path(tempfile.mkdtemp(prefix="folder-test-"))
        self.addCleanup(shutil.rmtree, self.scratch)
        self.reference, self.made, self.folder = (self.scratch / n for n in ("reference.gguf", "made.gguf", "folder"))

    def take_apart(self, options):
        """The folder's contents; the reference has what survives being stored as the original is."""
        words = [*DIMENSIONS.split(), *options.split()]
        checked(BUILD / "tools" / "random_model" / "random-model", self.reference, *words)
        gguf = GgufFile(self.reference)
        source = hugging_face.Source(gguf)
        folder = hugging_face.FAMILIES[source.arch](source)
        patch(self.reference, gguf, source.tensors)
        return folder

    def quantize(self, *options):
        return plimsoll("quantize", self.folder, self.made, "F32", "-q", *options)

    def compare(self):
        reference, made = GgufFile(self.reference), GgufFile(self.made)
        self.assertEqual(sorted(reference.names()), sorted(made.names()))
        for name in reference.names():
            a, b = reference.matrix(name), made.matrix(name)
            self.assertEqual(made.type_name(name), "F32", name)
            self.assertEqual(a.reshape(-1).shape, b.reshape(-1).shape, name)
            self.assertTrue(np.array_equal(a.reshape(b.shape), b), f"{name}: {np.abs(a.reshape(b.shape) - b).max()}")
        for key, value in reference.metadata.items():
            if not key.endswith(UNSAID):
                self.assertEqual(made.metadata.get(key), value, key)
        self.assertEqual(made.metadata["tokenizer.chat_template"], hugging_face.CHAT_TEMPLATE)
        self.assertEqual(logits(self.reference), logits(self.made))

    def test_every_architecture_comes_back(self):
        for name, options in MODELS.items():
            with self.subTest(name):
                hugging_face.write_folder(self.folder, self.take_apart(options))
                done = self.quantize()
                self.assertEqual(done.returncode, 0, done.stderr)
                self.compare()
            shutil.rmtree(self.folder, ignore_errors=True)
            self.made.unlink(missing_ok=True)

    def test_16_bits_are_widened(self):
        folder = self.take_apart(MODELS["qwen3next"])
        hugging_face.write_folder(self.folder, folder, "BF16")
        self.assertEqual(self.quantize().returncode, 0)
        made = GgufFile(self.made)
        for name in ("blk.0.ssm_out.weight", "blk.0.ffn_gate_inp.weight", "blk.0.ssm_dt.bias", "output.weight"):
            values = GgufFile(self.reference).matrix(name).astype(np.float32)
            widened = (hugging_face.bf16_bits(values).astype(np.uint32) << 16).view(np.float32)
            self.assertTrue(np.array_equal(made.matrix(name).reshape(-1), widened.reshape(-1)), name)
        # Matrices keep their 16 bits; what steers gets what llama.cpp wants of it.
        self.made.unlink()
        self.assertEqual(plimsoll("quantize", self.folder, self.made, "BF16", "-q").returncode, 0)
        made = GgufFile(self.made)
        for name in made.names():
            small = len(made._tensors[name][0]) == 1 or "ffn_gate_inp" in name or "conv1d" in name
            self.assertEqual(made.type_name(name), "F32" if small else "BF16", name)

    def test_the_folder_itself_runs_with_the_same_bits(self):
        for name in ("llama with experts", "qwen3next", "qwen35moe", "gemma4", "granitemoe"):
            with self.subTest(name):
                hugging_face.write_folder(self.folder, self.take_apart(MODELS[name]))
                self.assertEqual(logits(self.folder), logits(self.reference))
            shutil.rmtree(self.folder, ignore_errors=True)

    def test_8_bits_and_their_factors(self):
        table = eight_bit_values()
        folder = self.take_apart(MODELS["minimax-m2"].replace("--experts", "--hidden 256 --expert-ff 160 --experts"))
        folder.config["quantization_config"] = {"quant_method": "fp8", "weight_block_size": [128, 96]}
        eight_bits = [n for n in folder.tensors if n.endswith(("_proj.weight", ".w1.weight", ".w2.weight", ".w3.weight"))]
        self.assertGreater(len(eight_bits), 20)
        values = {}
        for i, name in enumerate(eight_bits):
            rows, columns = folder.tensors[name].shape
            codes = np.random.default_rng(i).integers(0, 255, (rows, columns), np.uint8)
            codes[codes & 127 == 127] = 0  # no number
            factors = np.random.default_rng(i).uniform(1e-4, 1e-3, (-(-rows // 128), -(-columns // 96))).astype(np.float32)
            of_each = factors.repeat(128, 0)[:rows].repeat(96, 1)[:, :columns]
            values[name] = (table[codes] * of_each).astype(np.float32)
            folder.tensors[name] = codes
            folder.tensors[f"{name}_scale_inv"] = factors
        hugging_face.write_folder(self.folder, folder, eight_bits=eight_bits)
        done = self.quantize()
        self.assertEqual(done.returncode, 0, done.stderr)
        made = GgufFile(self.made)
        for name, expected in values.items():
            if "self_attn" in name:
                gguf = name.replace("model.layers", "blk").replace("self_attn.", "attn_").replace("_proj", "").replace("attn_o", "attn_output")
                self.assertTrue(np.array_equal(made.matrix(gguf), expected), name)
        gate = [values[f"model.layers.1.block_sparse_moe.experts.{e}.w1.weight"] for e in range(4)]
        self.assertTrue(np.array_equal(made.matrix("blk.1.ffn_gate_exps.weight"), np.stack(gate)))
        self.assertRefused("tensor 'model.layers.0.self_attn.q_proj.weight': it is F8_E4M3",
                           lambda tensors: tensors.pop("model.layers.0.self_attn.q_proj.weight_scale_inv"), folder, eight_bits)

    def test_blocks_of_4_bits(self):
        folder = self.take_apart(MODELS["gpt-oss"])
        folder.config["quantization_config"] = {"quant_method": "mxfp4"}
        random = np.random.default_rng(5)
        blocks_of = {}
        for layer in range(2):
            for name, rows, columns in (("gate_up_proj", 128, 128), ("down_proj", 128, 64)):
                prefix = f"model.layers.{layer}.mlp.experts.{name}"
                del folder.tensors[prefix]
                blocks = random.integers(0, 256, (4, rows, columns // 32, 16), np.uint8)
                scales = random.integers(118, 124, (4, rows, columns // 32), np.uint8)
                folder.tensors[f"{prefix}_blocks"], folder.tensors[f"{prefix}_scales"] = blocks, scales
                blocks_of[layer, name] = four_bit_values(blocks, scales)
        hugging_face.write_folder(self.folder, folder)
        done = self.quantize("--requantize")
        self.assertEqual(done.returncode, 0, done.stderr)
        made = GgufFile(self.made)
        for layer in range(2):
            both = blocks_of[layer, "gate_up_proj"]
            for name, expected in (("gate", both[:, ::2]), ("up", both[:, 1::2]), ("down", blocks_of[layer, "down_proj"])):
                self.assertTrue(np.array_equal(made.matrix(f"blk.{layer}.ffn_{name}_exps.weight"), expected), name)
        self.made.unlink()
        self.assertEqual(plimsoll("quantize", self.folder, self.made, "MXFP4_MOE", "-q").returncode, 0)
        self.assertEqual(GgufFile(self.made).type_name("blk.0.ffn_up_exps.weight"), "MXFP4")
        self.assertRefused("'model.layers.0.mlp.experts.down_proj_blocks': its scales are not there",
                           lambda tensors: tensors.pop("model.layers.0.mlp.experts.down_proj_scales"), folder)

    def assertRefused(self, message, change, folder, eight_bits=()):
        """The folder after `change` of its tensors; nothing is left of what was begun."""
        tensors = dict(folder.tensors)
        change(folder.tensors)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.made.unlink(missing_ok=True)
        hugging_face.write_folder(self.folder, folder, eight_bits=eight_bits)
        done = self.quantize()
        folder.tensors = tensors
        self.assertEqual((done.returncode, self.made.exists()), (3, False), done.stderr)
        self.assertIn(message, done.stderr)

    def test_a_tensor_that_is_missing_or_of_another_shape_is_named(self):
        folder = self.take_apart(MODELS["qwen35moe"])
        prefix = "model.language_model.layers.0."

        def cut(name, axis):
            def change(tensors):
                tensors[prefix + name] = np.delete(tensors[prefix + name], 0, axis)

            return change

        self.assertRefused("blk.0.ssm_dt.bias", lambda tensors: tensors.pop(f"{prefix}linear_attn.dt_bias"), folder)
        self.assertRefused("blk.0.ffn_down_exps.weight", lambda tensors: tensors.pop(f"{prefix}mlp.experts.down_proj"), folder)
        self.assertRefused("linear_attn.in_proj_z.weight': it has 255 rows", cut("linear_attn.in_proj_z.weight", 0), folder)
        self.assertRefused("linear_attn.out_proj.weight': it has 255 columns", cut("linear_attn.out_proj.weight", 1), folder)
        self.assertRefused("mlp.experts.gate_up_proj': it has 127 rows, an odd number", cut("mlp.experts.gate_up_proj", 1), folder)
        self.assertRefused("blk.0.ffn_gate_inp.weight has the shape", cut("mlp.gate.weight", 0), folder)
        self.assertRefused("'model.language_model.layers.0.extra.weight' is of no layout that Plimsoll knows for qwen3_5_moe_text",
                           lambda tensors: tensors.update({f"{prefix}extra.weight": np.ones(2, np.float32)}), folder)

    def test_a_key_or_tokenizer_that_is_missing_is_named(self):
        folder = self.take_apart(MODELS["qwen3next"])
        config = dict(folder.config)
        for key in ("hidden_size", "num_hidden_layers", "num_experts_per_tok", "linear_num_key_heads", "linear_conv_kernel_dim"):
            folder.config = {k: v for k, v in config.items() if k != key}
            self.assertRefused(f"key '{key}': it is missing", lambda tensors: None, folder)
        folder.config = config
        hugging_face.write_folder(self.scratch / "whole", folder)
        self.folder = self.scratch / "whole"
        tokenizer = json.loads((self.folder / "tokenizer.json").read_text())
        for change, message in (
            (lambda t: t["pre_tokenizer"]["pretokenizers"][0]["pattern"].update({"Regex": "x+"}), "none that GGUF has a name for"),
            (lambda t: t["added_tokens"].append({"id": 400, "content": "<x>"}), "401 tokens, and the embedding has 400 rows"),
        ):
            changed = json.loads(json.dumps(tokenizer))
            change(changed)
            (self.folder / "tokenizer.json").write_text(json.dumps(changed))
            done = self.quantize()
            self.assertEqual(done.returncode, 3, done.stderr)
            self.assertIn(message, done.stderr)
        (self.folder / "tokenizer.json").unlink()
        self.assertIn("the folder has no tokenizer.json", self.quantize().stderr)

    def test_what_is_left_out_is_said(self):
        folder = self.take_apart(MODELS["qwen35"])
        hugging_face.write_folder(self.folder, folder)
        done = plimsoll("quantize", self.folder, self.made, "F16")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("left out: 2 tensors of images", done.stdout)
        self.assertIn("left out: 1 tensors of layers that predict further tokens", done.stdout)


def eight_bit_values():
    """Of each code of E4M3."""
    codes = np.arange(256)
    exponents, mantissas = codes >> 3 & 15, codes & 7
    magnitudes = np.where(exponents == 0, mantissas * 2.0**-9, (8 + mantissas) * 2.0 ** (exponents - 10.0))
    return np.where(codes < 128, magnitudes, -magnitudes).astype(np.float32)


def four_bit_values(blocks, scales):
    """Of gpt-oss's blocks: two values in a byte, the first in its lower half."""
    magnitudes = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
    values = np.concatenate([magnitudes, -magnitudes])
    pairs = np.stack([values[blocks & 15], values[blocks >> 4]], axis=-1).reshape(*blocks.shape[:3], 32)
    return (pairs * np.exp2(scales.astype(np.float32) - 127)[..., None]).reshape(*blocks.shape[:2], -1)


if __name__ == "__main__":
    BUILD = Path(sys.argv.pop(1))
    unittest.main()
