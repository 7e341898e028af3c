using Lowbit.Formats;
using Lowbit.Formats.Llama2C;
using Lowbit.Kernels;

namespace Lowbit.Models.Architectures;

/// <summary>llama2.c's own file: a Llama whose heads are ordered for rotation by neighbours.</summary>
internal static class Llama2CModels
{
    public static ModelConfig Describe(Checkpoint checkpoint)
    {
        Llama2CHeader header = checkpoint.Llama2C!.Header;
        return new ModelConfig
        {
            ModelType = "llama",
            VocabularySize = header.Vocabulary,
            ModelDim = header.ModelWidth,
            EmbeddingDim = header.ModelWidth,
            BlockCount = header.Layers,
            Heads = header.Heads,
            KvHeads = header.KeyValueHeads,
            HeadDim = header.HeadWidth,
            FfnDim = header.FeedForwardWidth,
            ContextLength = header.ContextLength,
            Norm = NormKind.RootMeanSquare,
            NormEpsilon = 1e-5f,
            Activation = NonlinearityKind.Silu,
            Gated = true,
            Rope = new RopeConfig { Theta = 10000, Dim = header.HeadWidth, Interleaved = true },
            TiedEmbedding = header.TiedEmbedding,
            BeginId = 1,
            EndIds = [1, 2], // run.c stops at BOS, which separates stories
            Names = TensorNames.Llama,
        };
    }
}
