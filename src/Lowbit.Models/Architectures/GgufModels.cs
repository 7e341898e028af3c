using Lowbit.Core;
using Lowbit.Formats;
using Lowbit.Formats.Gguf;
using Lowbit.Kernels;

namespace Lowbit.Models.Architectures;

/// <summary>The Llama family as GGUF files describe it. Files of <c>llama</c> and <c>smollm3</c> order heads for rotation by neighbours, the others by halves.</summary>
internal static class GgufModels
{
    public static ModelConfig Describe(Checkpoint checkpoint)
    {
        GgufFile gguf = checkpoint.Gguf!;
        string family = gguf.GetString("general.architecture");
        if (family is not ("llama" or "qwen2" or "qwen3" or "smollm3")) throw Architecture.Unknown(checkpoint.Path, family);

        string Key(string suffix) => $"{family}.{suffix}";
        int Size(string suffix)
        {
            long value = gguf.GetInteger<long>(Key(suffix));
            return value is >= 1 and <= int.MaxValue ? (int)value
                : throw new LowbitFormatException(checkpoint.Path, $"metadata {Key(suffix)} is {value}; expected a whole number of at least 1.");
        }
        int SizeOr(string suffix, int otherwise) => gguf.Metadata.ContainsKey(Key(suffix)) ? Size(suffix) : otherwise;

        int modelDim = Size("embedding_length");
        int heads = Size("attention.head_count");
        int headDim = SizeOr("attention.key_length", modelDim / heads);
        int context = Size("context_length");
        int blocks = Size("block_count");
        if (SizeOr("expert_count", 1) > 1)
            throw new LowbitFormatException(checkpoint.Path, $"the model has {Size("expert_count")} experts a block; mixtures of experts are not supported yet, use a dense model.");
        Tensor embedding = checkpoint.Find("token_embd.weight");
        return new ModelConfig
        {
            ModelType = family,
            VocabularySize = checked((int)embedding.Rows),
            ModelDim = modelDim,
            EmbeddingDim = modelDim,
            BlockCount = blocks,
            Heads = heads,
            KvHeads = SizeOr("attention.head_count_kv", heads),
            HeadDim = headDim,
            FfnDim = Size("feed_forward_length"),
            ContextLength = context,
            Norm = NormKind.RootMeanSquare,
            NormEpsilon = gguf.GetFloat(Key("attention.layer_norm_rms_epsilon")),
            Activation = NonlinearityKind.Silu,
            Gated = true,
            Rope = Rope(checkpoint, gguf, family, headDim, context),
            BlocksWithoutRope = family == "smollm3" ? EveryFourth(blocks) : [],
            QueryKeyNorm = family == "qwen3",
            TiedEmbedding = !checkpoint.Tensors.ContainsKey("output.weight"),
            BeginId = gguf.Metadata.ContainsKey("tokenizer.ggml.bos_token_id") ? gguf.GetInt32("tokenizer.ggml.bos_token_id") : null,
            EndIds = gguf.Metadata.ContainsKey("tokenizer.ggml.eos_token_id") ? [gguf.GetInt32("tokenizer.ggml.eos_token_id")] : [],
            Names = TensorNames.Gguf,
        };
    }

    private static RopeConfig Rope(Checkpoint checkpoint, GgufFile gguf, string family, int headDim, int context)
    {
        string Key(string suffix) => $"{family}.rope.{suffix}";
        RopeConfig rope = new()
        {
            Theta = gguf.GetFloat(Key("freq_base"), 10000),
            Dim = gguf.GetInt32(Key("dimension_count"), headDim),
            Interleaved = family is "llama" or "smollm3",
            Factor = gguf.GetFloat(Key("scaling.factor"), 1),
            OriginalContext = gguf.GetInt32(Key("scaling.original_context_length"), context),
        };
        string type = gguf.GetString(Key("scaling.type"), "none");
        return type switch
        {
            "none" => rope,
            "linear" => rope with { Scaling = RopeScaling.Linear },
            "yarn" => rope with { Scaling = RopeScaling.Yarn },
            _ => throw new LowbitFormatException(checkpoint.Path, $"rope scaling \"{type}\" is not supported; expected none, linear or yarn."),
        };
    }

    private static System.Collections.Immutable.ImmutableArray<int> EveryFourth(int blocks)
    {
        System.Collections.Immutable.ImmutableArray<int>.Builder without = System.Collections.Immutable.ImmutableArray.CreateBuilder<int>();
        for (int i = 3; i < blocks; i += 4) without.Add(i);
        return without.ToImmutable();
    }
}
