namespace Lowbit.Models.Architectures;

/// <summary>GPT-2: learned positions, one projection for q, k and v, linears stored transposed.</summary>
internal static class Gpt2
{
    public static ModelConfig Describe(ConfigReader config, string prefix)
    {
        int modelDim = config.Size("n_embd");
        int heads = config.Size("n_head");
        if (config.Flag("scale_attn_by_inverse_layer_idx", false)) throw config.Wrong("scale_attn_by_inverse_layer_idx", "false");
        return new ModelConfig
        {
            ModelType = "gpt2",
            VocabularySize = config.Size("vocab_size"),
            ModelDim = modelDim,
            EmbeddingDim = modelDim,
            BlockCount = config.Size("n_layer"),
            Heads = heads,
            KvHeads = heads,
            HeadDim = modelDim / heads,
            FfnDim = config.Size("n_inner", 4 * modelDim),
            ContextLength = config.Size("n_positions", config.Has("n_ctx") ? config.Size("n_ctx") : null),
            Norm = NormKind.Layer,
            NormEpsilon = config.Float("layer_norm_epsilon", 1e-5f),
            Activation = config.Activation("activation_function"),
            LearnedPositions = true,
            Fused = FusedOrder.Thirds,
            LinearsTransposed = true,
            TiedEmbedding = config.Flag("tie_word_embeddings", true),
            Names = TensorNames.Gpt2(prefix),
        };
    }
}
