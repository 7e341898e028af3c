using System.Collections.Immutable;

namespace Lowbit.Models.Architectures;

/// <summary>
/// Llama (arXiv 2302.13971) and those that differ from it by single features: Mistral (sliding window), Qwen2 (biases
/// on q, k, v), Qwen3 (norms on query and key heads), SmolLM2 (a Llama), SmolLM3 (blocks without rotary embedding), BitNet b1.58
/// (arXiv 2402.17764: norms before the output and the down projection, squared ReLU).
/// Biases need no word here: a linear has one where its file does.
/// </summary>
internal static class Llama
{
    public static ModelConfig Describe(ConfigReader config)
    {
        string family = config.Text("model_type");
        int modelDim = config.Size("hidden_size");
        int heads = config.Size("num_attention_heads");
        int blocks = config.Size("num_hidden_layers");
        int headDim = config.Size("head_dim", modelDim / heads);
        int context = config.Size("max_position_embeddings");
        bool windows = family == "mistral" || config.Flag("use_sliding_window", false);
        return new ModelConfig
        {
            ModelType = family,
            VocabularySize = config.Size("vocab_size"),
            ModelDim = modelDim,
            EmbeddingDim = modelDim,
            BlockCount = blocks,
            Heads = heads,
            KvHeads = config.Size("num_key_value_heads", heads),
            HeadDim = headDim,
            FfnDim = config.Size("intermediate_size"),
            ContextLength = context,
            Norm = NormKind.RootMeanSquare,
            NormEpsilon = config.Float("rms_norm_eps", 1e-6f),
            Activation = config.Activation("hidden_act"),
            Gated = true,
            Rope = config.Rope(headDim, context),
            BlocksWithoutRope = family == "smollm3" ? WithoutRope(config, blocks) : [],
            SlidingWindows = config.SlidingWindows(blocks, windows),
            QueryKeyNorm = family == "qwen3",
            SubNorms = family == "bitnet",
            TiedEmbedding = config.Flag("tie_word_embeddings", family is "smollm3"),
            Names = TensorNames.Llama,
        };
    }

    // SmolLM3 marks the blocks that do rotate with 1, the others with 0.
    private static ImmutableArray<int> WithoutRope(ConfigReader config, int blocks)
    {
        ImmutableArray<int> marks = config.Integers("no_rope_layers");
        int interval = config.Size("no_rope_layer_interval", 4);
        ImmutableArray<int>.Builder without = ImmutableArray.CreateBuilder<int>();
        for (int i = 0; i < blocks; i++)
        {
            bool rotates = i < marks.Length ? marks[i] != 0 : (i + 1) % interval != 0;
            if (!rotates) without.Add(i);
        }
        return without.ToImmutable();
    }
}
