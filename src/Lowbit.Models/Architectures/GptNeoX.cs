namespace Lowbit.Models.Architectures;

/// <summary>GPT-NeoX (arXiv 2204.06745) and Pythia: attention and feed-forward side by side, a part of each head rotates.</summary>
internal static class GptNeoX
{
    public static ModelConfig Describe(ConfigReader config)
    {
        int modelDim = config.Size("hidden_size");
        int heads = config.Size("num_attention_heads");
        int context = config.Size("max_position_embeddings");
        return new ModelConfig
        {
            ModelType = "gpt_neox",
            VocabularySize = config.Size("vocab_size"),
            ModelDim = modelDim,
            EmbeddingDim = modelDim,
            BlockCount = config.Size("num_hidden_layers"),
            Heads = heads,
            KvHeads = heads,
            HeadDim = modelDim / heads,
            FfnDim = config.Size("intermediate_size"),
            ContextLength = context,
            Norm = NormKind.Layer,
            NormEpsilon = config.Float("layer_norm_eps", 1e-5f),
            Activation = config.Activation("hidden_act"),
            Rope = PartialRope(config, modelDim / heads, context),
            Fused = FusedOrder.ByHead,
            ParallelResidual = config.Flag("use_parallel_residual", true),
            TiedEmbedding = config.Flag("tie_word_embeddings", false),
            Names = TensorNames.GptNeoX,
        };
    }

    // A quarter of every head rotates where the file does not say.
    private static RopeConfig PartialRope(ConfigReader config, int headDim, int context)
    {
        RopeConfig rope = config.Rope(headDim, context);
        bool said = config.Has("rotary_pct") || config.Has("partial_rotary_factor") || config.Object("rope_parameters")?.Has("partial_rotary_factor") == true;
        return said ? rope : rope with { Dim = headDim / 4 };
    }
}
