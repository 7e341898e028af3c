namespace Lowbit.Models.Architectures;

/// <summary>OPT (arXiv 2205.01068): learned positions from row 2, ReLU, biases, layer norms before the parts, or after them in the 350m model.</summary>
internal static class Opt
{
    public static ModelConfig Describe(ConfigReader config, string prefix)
    {
        int modelDim = config.Size("hidden_size");
        int heads = config.Size("num_attention_heads");
        bool normBefore = config.Flag("do_layer_norm_before", true);
        return new ModelConfig
        {
            ModelType = "opt",
            VocabularySize = config.Size("vocab_size"),
            ModelDim = modelDim,
            EmbeddingDim = config.Size("word_embed_proj_dim", modelDim),
            BlockCount = config.Size("num_hidden_layers"),
            Heads = heads,
            KvHeads = heads,
            HeadDim = modelDim / heads,
            FfnDim = config.Size("ffn_dim"),
            ContextLength = config.Size("max_position_embeddings"),
            Norm = NormKind.Layer,
            NormEpsilon = 1e-5f,
            Activation = config.Activation("activation_function"),
            LearnedPositions = true,
            PositionOffset = 2,
            NormBefore = normBefore,
            FinalNorm = normBefore && !config.Flag("_remove_final_layer_norm", false),
            TiedEmbedding = config.Flag("tie_word_embeddings", true),
            Names = TensorNames.Opt(prefix),
        };
    }
}
