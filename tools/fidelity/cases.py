"""The random models that are compared: every architecture with every weight type, and variants."""

from dataclasses import dataclass

TYPES = "F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS MXFP4 NVFP4 IQ3_S IQ3_XXS IQ2_S IQ2_XS IQ2_XXS IQ1_S IQ1_M TQ1_0 TQ2_0".split()
FLOAT_TYPES = ("F32", "F16", "BF16")

# 512 wide, so that rows have two super-blocks; eight query heads over four key-value heads. Layers
# add little to the residual stream and routers are calm, as in trained models: rounding then rarely
# turns a router's choice, which would drown what is measured.
DIMENSIONS = (
    "--layers 3 --hidden 512 --heads 8 --kv-heads 4 --head-dim 64 --ff 768 --experts 0 --top-k 2 "
    "--expert-ff 512 --shared-ff 512 --vocab 1024 --branch-gain 0.3 --router-std 0.3"
).split()


@dataclass(frozen=True)
class Case:
    name: str
    options: str
    peer: bool = True  # llama.cpp runs it as the file says
    types_without_peer: tuple = ()  # but for these types, on which it ends with a failed assertion

    def has_peer(self, dtype):
        return self.peer and dtype not in self.types_without_peer


MOE = "--experts 8"
ARCHITECTURES = [
    Case("llama", "--arch llama"),
    Case("llama, experts", f"--arch llama {MOE}"),
    Case("qwen2", "--arch qwen2"),
    Case("qwen3", "--arch qwen3"),
    Case("qwen2moe", f"--arch qwen2moe {MOE}"),
    Case("qwen3moe", f"--arch qwen3moe {MOE}"),
    Case("olmoe", f"--arch olmoe {MOE} --kv-heads 0"),
    Case(
        "deepseek2",  # as V3 is; sums of sigmoid scores move more than softmax shares do: calmer yet
        f"--arch deepseek2 {MOE} --gating sigmoid --renormalise true --router-weights-scale 2.5 --groups 4 --groups-used 2 "
        "--selection-bias --rope-scaling yarn --rope-log-multiplier 0.1 --router-std 0.05",
        types_without_peer=("TQ1_0", "TQ2_0"),
    ),
    Case("gpt-oss", f"--arch gpt-oss {MOE} --rope-scaling yarn"),
    Case("granite", "--arch granite"),
    Case("granitemoe", f"--arch granitemoe {MOE} --shared-ff 0"),
    Case(
        "dots1",
        f"--arch dots1 {MOE} --kv-heads 0 --gating sigmoid --renormalise true --router-weights-scale 2.5 "
        "--selection-bias --router-std 0.05",
    ),
    Case(
        "glm4moe",
        f"--arch glm4moe {MOE} --shared-experts 1 --prediction-layers 1 --gating sigmoid --renormalise true "
        "--router-weights-scale 2.5 --router-std 0.05",
    ),
    Case("gemma3", "--arch gemma3 --layers 6 --rope-theta 1000000 --rope-scaling linear"),
    Case(
        "mistral3",
        "--arch mistral3 --rope-scaling yarn --rope-log-multiplier 1 --rope-original-context 16 --temperature-scale 0.1",
    ),
    Case("phi3", "--arch phi3 --rope-scaling longrope --rope-original-context 16"),
    Case("llama4", f"--arch llama4 {MOE} --layers 4 --top-k 1 --router-std 0.05"),
    Case(
        "gemma4",
        "--arch gemma4 --layers 4 --shared-kv-layers 2 --layer-input 256 --rope-theta 1000000 --logit-cap 30 "
        "--branch-gain 0.1 --attention-std 0.8",
    ),
    Case("gemma4, experts", f"--arch gemma4 {MOE} --layers 2 --values-of-keys --joined-experts --router-std 0.1 --logit-cap 30"),
    Case("qwen3next", f"--arch qwen3next {MOE}"),
    Case("qwen35", "--arch qwen35"),
    Case("qwen35moe", f"--arch qwen35moe {MOE} --prediction-layers 1"),
    Case("minimax-m2", f"--arch minimax-m2 {MOE} --gating sigmoid --router-std 0.05"),
]

VARIANTS = [
    Case("rotary: linear", "--arch llama --rope-scaling linear"),
    Case("rotary: YaRN", "--arch qwen3 --rope-scaling yarn"),
    Case("rotary: Llama 3 factors", "--arch llama --rope-scaling llama3"),
    Case("rotary: LongRoPE, short", "--arch phi3 --rope-scaling longrope --rope-original-context 8192 --context 16384"),
    Case("rotary: NTK", "--arch llama --rope-scaling ntk", peer=False),
    Case("rotary: half of the head", "--arch qwen3 --rope-dims 32", peer=False),
    Case("sliding window of 16", "--arch llama --sliding-window 16", peer=False),
    Case("tied output", "--arch qwen3 --tied"),
    Case("query, key, value biases", "--arch llama --biases true"),
    Case("sigmoid router", f"--arch qwen3moe {MOE} --gating sigmoid --renormalise true", peer=False),
    Case("no renormalisation, scaled", f"--arch qwen3moe {MOE} --renormalise false --router-weights-scale 1.5", peer=False),
    Case("latent attention: queries made directly, softmax", f"--arch deepseek2 {MOE} --q-rank 0"),
    Case("latent attention: joined keys and values", f"--arch deepseek2 {MOE} --joined-kv --rope-scaling yarn"),
    Case("scales, tied output", "--arch granite --tied"),
    Case("scales, shared expert", f"--arch granitemoe {MOE}"),
    Case(
        "chunks and growing queries without positions",
        f"--arch llama4 {MOE} --layers 4 --top-k 1 --router-std 0.05 --chunk 16 --temperature-scale 0.5 --temperature-length 8",
        peer=False,
    ),
    Case("cap of the logits", "--arch gemma3 --layers 6 --logit-cap 10 --branch-gain 0.1"),
    Case("sixteen experts, six active", "--arch qwen3moe --experts 16 --top-k 6 --router-std 1"),
]
VARIANT_TYPES = ["F32", "Q8_0"]
