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
            Rope = config.Rope(modelDim / heads, context, share: 0.25f), // a quarter of every head where the file does not say
            Fused = FusedOrder.ByHead,
            ParallelResidual = config.Flag("use_parallel_residual", true),
            TiedEmbedding = config.Flag("tie_word_embeddings", false),
            Names = TensorNames.GptNeoX,
        };
    }
}
